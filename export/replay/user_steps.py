"""Folds the events and updates of many steps into rows of users: each row step by step, many users together.

A round folds at most one step of every user, with the code that folds a batch of the stream, so the rows are those of
folding step by step, to the bit.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from export.replay.versions import BEFORE, RowVersions
from services.features import behavior, profile
from services.features.activity_steps import rounds
from services.features.dedup import EventFlags, classify_events
from services.features.events import Events
from services.features.profile import ProfileUpdates
from services.features.rows import Block, Ints
from services.features.schema import Schema
from services.features.tables import run_starts
from services.store.user_scenarios import UserScenarios


def fold_user_steps(
    schema: Schema,
    users: RowVersions,
    pairs: RowVersions,
    events: Events,
    stamp: Ints,
    updates: ProfileUpdates,
    update_stamp: Ints,
    encoder: int,
) -> EventFlags:
    """Add the versions of the rows of users, and of users in scenarios; returns the flags of each event.

    No user may have events in more scenarios than `config.user_scenarios`.

    Args:
        schema: the feature schema.
        users: rows of `user`.
        pairs: rows of `user_scenario`.
        events: events of all steps in order, with facets and text vectors.
        stamp: [E] stamp of each event's step.
        updates: updates of users' attributes of all steps, in order.
        update_stamp: [U] stamp of each update's step.
        encoder: fingerprint of the encoder of the vectors.
    """
    count, width = len(events), 1 + len(schema.config.facets)
    flags = EventFlags(np.zeros(count, bool), np.zeros((count, width), bool), np.zeros(count, np.int64))
    listed: dict[int, list[str]] = {}

    def fold_users(block: Block, part: "_Round") -> Block:
        if not len(part.event):
            return profile.fold(schema, block, block, part.update_row, updates.take(part.update))
        chosen = events.take(part.event)
        own = classify_events(schema, block, part.row, chosen)
        flags.counted[part.event], flags.engaged_before[part.event] = own.counted, own.engaged_before
        flags.level[part.event] = own.level
        scenarios = _list_scenarios(listed, block, part, chosen)
        after = behavior.fold(schema, block, part.row, chosen, own, encoder)
        if len(part.update):
            after = profile.fold(schema, block, after, part.update_row, updates.take(part.update))
        return scenarios.listed_in(after)

    def fold_pairs(block: Block, part: "_Round") -> Block:
        own = EventFlags(flags.counted[part.event], flags.engaged_before[part.event], flags.level[part.event])
        return behavior.fold(schema, block, part.row, events.take(part.event), own, encoder)

    of_users = users.number([(user,) for user in (*events.user, *updates.user)])
    of_pairs = pairs.number(list(zip(events.user, events.scenario, strict=True)))
    stamps = np.concatenate([stamp, update_stamp])
    for versions, number, at, fold in ((users, of_users, stamps, fold_users), (pairs, of_pairs, stamp, fold_pairs)):
        block: Block | None = None
        made = []
        for part in _rounds(number, at, count):
            before = versions.read(part.number, np.full(len(part.number), BEFORE)) if block is None else block
            if before.size > len(part.number):
                before = before.take(np.arange(len(part.number)))
            block = fold(before, part)
            made.append((part.number, part.stamp, block))
        for version in made:
            versions.add(*version)
    return flags


@dataclass(frozen=True)
class _Round:
    """At most one step of every row: R rows, the first ones of the round before.

    Args:
        event: [E] events, in order.
        row: [E] row of each.
        update: [U] updates, in order.
        update_row: [U] row of each.
        number: [R] number of each row.
        stamp: [R] stamp of the step of each row.
    """

    event: Ints
    row: Ints
    update: Ints
    update_row: Ints
    number: Ints
    stamp: Ints


def _rounds(number: Ints, stamp: Ints, events: int) -> Iterator[_Round]:
    """Rounds over the first ones, which are events, and the others, updates; rows and stamps of both are given."""
    distinct, row = np.unique(number, return_inverse=True)
    by_row = np.lexsort((stamp, row))
    starts = run_starts(row[by_row]) | run_starts(stamp[by_row])
    step = np.empty(len(row), np.int64)
    step[by_row] = np.cumsum(starts) - 1
    step_row, step_stamp = row[by_row][starts], stamp[by_row][starts]
    order, sizes = rounds(step_row, len(distinct))
    place, of_step = np.empty(len(order), np.int64), np.empty(len(order), np.int64)
    ends = np.cumsum(sizes)
    begins = ends - sizes
    place[order] = np.arange(len(order)) - np.repeat(begins, sizes)
    of_step[order] = np.repeat(np.arange(len(sizes)), sizes)
    by_round = np.argsort(of_step[step], kind="stable")
    borders = np.searchsorted(of_step[step][by_round], np.arange(len(sizes) + 1))
    for count, (begin, end) in enumerate(zip(begins.tolist(), ends.tolist(), strict=True)):
        given = by_round[borders[count] : borders[count + 1]]
        event, update = given[given < events], given[given >= events]
        steps = order[begin:end]
        yield _Round(
            event=event,
            row=place[step[event]],
            update=update - events,
            update_row=place[step[update]],
            number=distinct[step_row[steps]],
            stamp=step_stamp[steps],
        )


def _list_scenarios(listed: dict[int, list[str]], block: Block, part: _Round, events: Events) -> UserScenarios:
    """The scenarios of each row after its step; `listed` holds those of rows by number from one round to the next."""
    if not listed:
        stored = block.ragged["scenario_ids"]
        old = np.split(stored.values, np.cumsum(stored.lengths)[:-1])
        listed |= {number: sorted(ids) for number, ids in zip(part.number.tolist(), old, strict=True)}
    numbers = part.number.tolist()
    for row, scenario in zip(part.row.tolist(), events.scenario, strict=True):
        known = listed[numbers[row]]
        if scenario not in known:
            listed[numbers[row]] = sorted([*known, scenario])
    return UserScenarios([listed[number] for number in numbers], frozenset())
