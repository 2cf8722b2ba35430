"""Activity of items, facets and scenarios over all users: deltas of a batch of events, and the rows that sum them up.

A delta is a function of the events and their flags, decayed to its newest event; deltas add up in any order.
The behaviour consumer computes them and sends them over Kafka; the activity consumer folds them into rows. Repeated
engagement of one user with one item has a diminishing weight (saturation.py), except in the activity of scenarios.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from services.features.config import DAY_S, HOUR_S
from services.features.decay import decay_factors
from services.features.dedup import EventFlags
from services.features.event_types import PURCHASE
from services.features.events import Events, engagement_weights, is_disliked, price_paid
from services.features.hashing import NO_KEY
from services.features.opinions import age_opinions, sum_opinions
from services.features.rows import Block, Floats, Ints, counts_by_type, is_new, newest_position
from services.features.saturation import saturation_weights
from services.features.schema import Schema


@dataclass(frozen=True)
class DeltaColumns:
    """Additions to activity rows as columns, one entry per group of events.

    Args:
        group: [G, k] ids that name the row: (item), (facet), (item, scenario) or (scenario).
        time_s: [G] newest event time, seconds since 1970.
        counts: [G, types * half-lives] decayed counts at time_s.
        hours: [G, 24] decayed engagement by hour of day at time_s.
        last_value: [G] newest price paid, -1 if there is none.
        last_value_s: [G] time of last_value, 0 if there is none.
        repeat_engagement: [G, half-lives] decayed engagement at time_s of users who had engaged before.
        unique_users: [G] number of first engagements of users.
        paid: [G, 2] decayed sum of log(1 + price paid) and number of prices at time_s.
        opinions: [G, opinion width] sums of opinions at time_s, as of `services.features.opinions`.
    """

    group: NDArray[np.object_]
    time_s: Floats
    counts: Floats
    hours: Floats
    last_value: Floats
    last_value_s: Floats
    repeat_engagement: Floats
    unique_users: Floats
    paid: Floats
    opinions: Floats

    def __len__(self) -> int:
        return len(self.time_s)


def compute_deltas(
    schema: Schema, events: Events, flags: EventFlags, *ids: str, step: Ints | None = None
) -> DeltaColumns:
    """The deltas of the events, one per group of equal `ids` (item, scenario, or facet alone).

    Repeats add nothing. Events without an item count for scenarios only. An event counts for each facet of its
    item; facets are named by their key in decimal.

    Args:
        schema: the feature schema.
        events: the events.
        flags: flags of each event, by `classify_events`.
        ids: fields of the events that key a group.
        step: [E] events of different steps are not summed; each delta then has its step, in decimal, before its ids,
            and deltas are in order of step.
    """
    chosen = flags.counted & events.item.astype(bool) if "item" in ids else flags.counted
    events, engaged_before = events.take(chosen), flags.engaged_before[chosen]
    steps = [] if step is None else [step[chosen]]
    repeat = engaged_before[:, 0]
    # What a scenario is like is not a matter of popularity: every event counts in full.
    share = np.ones(len(events)) if ids == ("scenario",) else saturation_weights(flags.level[chosen])
    if ids == ("facet",):
        event, level = np.nonzero(events.facet_key != NO_KEY)
        keys, repeat = events.facet_key[event, level], engaged_before[event, 1 + level]
        events, share, steps = events.take(event), share[event], [step[event] for step in steps]
        columns = [*steps, keys]
    else:
        columns = [*steps, *(getattr(events, name).astype(str) for name in ids)]
    codes = np.stack([np.unique(column, return_inverse=True)[1] for column in columns], axis=1)
    _, head, group = np.unique(codes, axis=0, return_index=True, return_inverse=True)
    group = group.reshape(-1)
    time_s = np.zeros(len(head))
    np.maximum.at(time_s, group, events.time_s)
    names = np.stack([column[head].astype(str).astype(object) for column in columns], axis=1)
    elapsed_s = time_s[group] - events.time_s
    remaining = decay_factors(elapsed_s, schema.config.half_lives_s) * share[:, None]
    counts, hours = _sums(schema, events, group, remaining, len(head))
    last = _last_value(events, group, len(head))
    repeats = _repeat_sums(schema, events, repeat, group, remaining, len(head))
    said = sum_opinions(schema.config, events, group, len(head), elapsed_s, share)
    return DeltaColumns(names, time_s, counts, hours, *last, *repeats, said)


def _repeat_sums(
    schema: Schema, events: Events, repeat: NDArray[np.bool_], group: Ints, remaining: Floats, groups: int
) -> tuple[Floats, Floats, Floats]:
    weight = engagement_weights(schema.config, events)
    again = np.zeros((groups, remaining.shape[1]))
    np.add.at(again, group, remaining * (weight * repeat)[:, None])
    unique_users = np.bincount(group, (weight > 0) & ~repeat, minlength=groups).astype(np.float64)
    log_price, paid = price_paid(events)
    prices = np.zeros((groups, 2))
    np.add.at(prices, group, np.column_stack([log_price, paid]) * remaining[:, -1:])
    return again, unique_users, prices


def _sums(schema: Schema, events: Events, group: Ints, remaining: Floats, groups: int) -> tuple[Floats, Floats]:
    counts = np.zeros((groups, len(schema.event_types), remaining.shape[1]))
    counted = remaining
    if schema.config.liked_from:
        counted = np.where(is_disliked(schema.config, events)[:, None], 0.0, remaining)
    np.add.at(counts, (group, events.type), counted)
    hours = np.zeros((groups, 24))
    hour = (events.time_s % DAY_S // HOUR_S).astype(np.int64)
    np.add.at(hours, (group, hour), engagement_weights(schema.config, events) * remaining[:, -1])
    return counts.reshape(groups, schema.count_length), hours


def _last_value(events: Events, group: Ints, groups: int) -> tuple[Floats, Floats]:
    """Newest price paid per group; at equal times the larger one, so that order does not matter."""
    paid = np.flatnonzero((events.type == PURCHASE) & np.isfinite(events.value))
    order = paid[np.lexsort((events.value[paid], events.time_s[paid]))]
    value, time_s = np.full(groups, -1.0), np.zeros(groups)
    value[group[order]], time_s[group[order]] = events.value[order], events.time_s[order]
    return value, time_s


def fold(schema: Schema, block: Block, row: Ints, deltas: DeltaColumns, position: Ints) -> Block:
    """Fold deltas into a block; returns the block after them.

    Args:
        schema: the feature schema.
        block: rows of an activity view.
        row: [G] index into the block, per delta.
        deltas: the deltas, in offset order.
        position: [G, 3] topic epoch, partition and offset of the record that carried each delta.
    """
    new = np.flatnonzero(is_new(block, row, position))
    time_s = block.floats("time_s").copy()
    np.maximum.at(time_s, row[new], deltas.time_s[new])
    half_lives, rows = schema.config.half_lives_s, row[new]
    shape = (len(schema.event_types), len(half_lives))
    aged = decay_factors(time_s - block.floats("time_s"), half_lives)
    added = decay_factors(time_s[rows] - deltas.time_s[new], half_lives)
    counts = counts_by_type(block, len(half_lives)) * aged[:, None, :]
    np.add.at(counts, rows, deltas.counts[new].reshape(len(new), *shape) * added[:, None, :])
    newest = newest_position(block, row, position)
    touched = (newest != block.ints("position")).any(axis=1)
    fixed: dict[str, NDArray[np.generic]] = {
        "time_s": time_s,
        "counts": counts.reshape(block.size, schema.count_length),
        "position": newest,
        "schema": np.where(touched, schema.fingerprint, block.ints("schema")),
    }
    if "opinions" in block.fixed:
        config = schema.config
        said = age_opinions(config, block.floats("opinions"), time_s - block.floats("time_s"))
        np.add.at(said, rows, age_opinions(config, deltas.opinions[new], time_s[rows] - deltas.time_s[new]))
        fixed["opinions"] = said
    if "hours" in block.fixed:
        hours = block.floats("hours") * aged[:, -1:]
        np.add.at(hours, rows, deltas.hours[new] * added[:, -1:])
        fixed["hours"] = hours
    if "repeat_engagement" in block.fixed:
        again, paid, unique_users = (
            block.floats("repeat_engagement") * aged,
            block.floats("paid") * aged[:, -1:],
            block.floats("unique_users"),
        )
        np.add.at(again, rows, deltas.repeat_engagement[new] * added)
        np.add.at(paid, rows, deltas.paid[new] * added[:, -1:])
        first = np.bincount(rows, deltas.unique_users[new], minlength=block.size)
        fixed |= {"repeat_engagement": again, "paid": paid, "unique_users": unique_users + first}
    if "last_value" in block.fixed:
        fixed |= _newer_value(block, rows, deltas.last_value[new], deltas.last_value_s[new])
    return block.with_columns(fixed)


def _newer_value(block: Block, row: Ints, value: Floats, time_s: Floats) -> dict[str, NDArray[np.generic]]:
    all_rows = np.concatenate([np.arange(block.size), row])
    values = np.concatenate([block.floats("last_value"), value])
    times = np.concatenate([block.floats("last_value_s"), time_s])
    order = np.lexsort((values, times))
    last_value, last_value_s = np.empty(block.size), np.empty(block.size)
    last_value[all_rows[order]], last_value_s[all_rows[order]] = values[order], times[order]
    return {"last_value": last_value, "last_value_s": last_value_s}
