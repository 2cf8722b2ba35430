"""What each event is to its user: one to count or a repeat, and whether the user had engaged with its item before.

One verdict per event, made on the row of the user and used by every row that the event touches: those of the
user, and those of items, facets and scenarios. The row remembers the verdicts on its newest events, so that a
batch that is folded again after a crash meets the verdicts of the first time, wherever its borders are now.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from services.features.config import FeatureConfig
from services.features.hashing import NO_KEY
from services.features.rows import Block, Floats, Ints, Ragged, fresh
from services.features.schema import Schema
from services.features.tables import begins, mix, place_in, rank_in_group, table_of

if TYPE_CHECKING:
    from services.features.behavior import Events

EPOCH_BITS = 40
"""Offsets stay below 2 to this power; the topic epoch stands above them."""

REMEMBERED = ("event_ids", "event_seqs", "event_returning")
"""Features of a user's row that hold verdicts, an entry per event."""


@dataclass(frozen=True)
class Verdicts:
    """What is known of events once their users' rows were looked at.

    Args:
        counted: [E] whether the event counts: it is no repeat.
        returning: [E, 1 + F] whether the user had engaged earlier with the event's item, and with each of its facets.
    """

    counted: NDArray[np.bool_]
    returning: NDArray[np.bool_]


def sequence(position: Ints) -> Ints:
    """Where a record at `position` [E, 3] stands among the records of its user, [E]: rises from one to the next."""
    return (position[:, 0] << EPOCH_BITS) + position[:, 2]


def judge(schema: Schema, block: Block, row: Ints, events: "Events", weight: Floats) -> Verdicts:
    """Verdicts on events, by the rows of their users as they were before them, or as a crash left them.

    Args:
        schema: the feature schema.
        block: rows of the view `user`.
        row: index into the block, per event.
        events: the events, in offset order.
        weight: [E] engagement weight of each event.
    """
    new = fresh(block, row, events.position)
    ids, seqs = block.ragged["event_ids"], block.ragged["event_seqs"].values.astype(np.int64)
    stored = mix(ids.row, ids.values.astype(np.int64))
    order = np.argsort(stored)
    known = place_in(stored[order], order, mix(row, events.event_key))
    remembered = known >= 0
    if remembered.any():
        remembered[remembered] = seqs[known[remembered]] == sequence(events.position)[remembered]
    counted = np.where(new, known < 0, remembered)
    counted[new] &= _first(mix(row, events.event_key)[new])
    returning = _returning(schema.config, block, row, events, counted & new, weight)
    notes = block.ragged["event_returning"].values.astype(np.int64)
    if remembered.any():
        returning[remembered] = _bits(notes[known[remembered]], returning.shape[1])
    return Verdicts(counted, returning)


def remember(config: FeatureConfig, block: Block, row: Ints, events: "Events", verdicts: Verdicts) -> dict[str, Ragged]:
    """The columns of the rows that hold the verdicts, after the events.

    What a crash may bring back is remembered whole: everything from the batch's first event of the user on. Of what
    lies before, the newest `config.event_ids` are.
    """
    kept = verdicts.counted & fresh(block, row, events.position)
    seq = sequence(events.position)
    first = np.full(block.size, np.iinfo(np.int64).max)
    np.minimum.at(first, row, seq)
    ids = block.ragged["event_ids"]
    rows = np.concatenate([ids.row, row[kept]])
    old = {name: block.ragged[name].values.astype(np.int64) for name in REMEMBERED}
    new = {"event_ids": events.event_key, "event_seqs": seq, "event_returning": _note(verdicts.returning)}
    columns = {name: np.concatenate([old[name], new[name][kept]]) for name in REMEMBERED}
    order = np.argsort(rows, kind="stable")
    rows = rows[order]
    touched = np.bincount(row, minlength=block.size) > 0
    before = touched[rows] & (columns["event_seqs"][order] < first[rows])
    return _newest({name: values[order] for name, values in columns.items()}, rows, before, block.size, config)


def forget(config: FeatureConfig, block: Block) -> dict[str, Ragged]:
    """The columns that hold verdicts, with no more of them than must be remembered of what was committed."""
    row = block.ragged["event_ids"].row
    columns = {name: block.ragged[name].values.astype(np.int64) for name in REMEMBERED}
    return _newest(columns, row, np.ones(len(row), bool), block.size, config)


def _newest(
    columns: dict[str, Ints], row: Ints, before: NDArray[np.bool_], rows: int, config: FeatureConfig
) -> dict[str, Ragged]:
    """The columns without the oldest entries of each row among those that `before` marks."""
    from_end = np.zeros(len(row), np.int64)
    from_end[before] = rank_in_group(row[before][::-1])[::-1]
    keep = ~before | (from_end < config.event_ids)
    lengths = np.bincount(row[keep], minlength=rows).astype(np.int64)
    return {name: Ragged(values[keep], lengths) for name, values in columns.items()}


def _returning(
    config: FeatureConfig, block: Block, row: Ints, events: "Events", new: NDArray[np.bool_], weight: Floats
) -> NDArray[np.bool_]:
    """Whether the user's first engagement before the event, in order of arrival, was at an earlier time: [E, 1 + F]."""
    items, facets = table_of(config, block, "item"), table_of(config, block, "facet")
    searched = [(items, events.item_key), *((facets, keys) for keys in events.facet_key.T)]
    counts = new & (weight > 0)
    result = np.zeros((len(events), len(searched)), bool)
    for number, (table, keys) in enumerate(searched):
        place = table.find(row, keys)
        first_s = np.full(len(events), np.inf)
        first_s[place >= 0] = table.first_s[place[place >= 0]]
        use = keys != NO_KEY
        first_s = np.minimum(first_s, _earlier(mix(row, keys), events.time_s, counts & use))
        result[:, number] = use & (first_s < events.time_s)
    return result


def _earlier(group: NDArray[np.uint64], time_s: Floats, counts: NDArray[np.bool_]) -> Floats:
    """The least time among the events before each one in its group that count, infinite without any: [E]."""
    size = len(group)
    order = np.argsort(group, kind="stable")
    starts = begins(group[order])
    levels, level = np.unique(np.where(counts, time_s, np.inf), return_inverse=True)
    # Later groups lie below all earlier ones, so that a running minimum starts anew with each.
    shift = np.cumsum(starts) * (len(levels) + 1)
    least = np.minimum.accumulate(level[order] - shift) if size else level
    before = np.full(size, np.inf)
    inner = np.flatnonzero(~starts)
    before[order[inner]] = levels[least[inner - 1] + shift[inner - 1]]
    return before


def _first(values: NDArray[np.uint64]) -> NDArray[np.bool_]:
    """Which of the values were not there before."""
    first = np.zeros(len(values), bool)
    first[np.unique(values, return_index=True)[1]] = True
    return first


def _note(flags: NDArray[np.bool_]) -> Ints:
    """Flags [E, n] as the bits of a number, the first the lowest: [E]."""
    note: Ints = flags.astype(np.int64) @ (1 << np.arange(flags.shape[1], dtype=np.int64))
    return note


def _bits(notes: Ints, width: int) -> NDArray[np.bool_]:
    bits: NDArray[np.bool_] = (notes[:, None] >> np.arange(width)) & 1 == 1
    return bits
