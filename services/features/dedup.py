"""Deduplication of events: whether an event counts or is a repeat, and how far its user had engaged before.

The flags of an event are computed once, from the row of its user, and used by every row that the event updates: rows
of the user, of the item, of its facets and of the scenario. The user's row stores ids and flags of its newest events,
so that a batch that is folded again after a crash gets the flags of the first time, whatever its borders are now.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from services.features.config import FeatureConfig
from services.features.events import Events, Mask, engagement_weights, is_disliked, is_liked
from services.features.hashing import NO_KEY
from services.features.opinions import entry_counts
from services.features.rows import Block, Floats, Ints, Ragged, is_new
from services.features.saturation import saturation_levels
from services.features.schema import Schema
from services.features.tables import lookup_sorted, mix_keys, rank_in_group, read_table, run_starts

EPOCH_BITS = 40
"""Offsets stay below 2 to this power; the topic epoch occupies the bits above."""

EVENT_COLUMNS = ("event_ids", "event_seqs", "event_engaged_before")
"""Features of a user's row that hold ids and flags, an entry per event."""


@dataclass(frozen=True)
class EventFlags:
    """Flags of E events.

    Args:
        counted: [E] whether the event counts: it is not a repeat.
        engaged_before: [E, 1 + F] whether the user engaged earlier with the event's item, and with each facet of it.
        level: [E] how much less the event counts in popularity, as of `saturation_weights`.
    """

    counted: Mask
    engaged_before: Mask
    level: Ints


def sequence_of(position: Ints) -> Ints:
    """One number per record at `position` [E, 3], rising from each record of a user to the next: [E]."""
    return (position[:, 0] << EPOCH_BITS) + position[:, 2]


def classify_events(schema: Schema, block: Block, row: Ints, events: Events) -> EventFlags:
    """The flags of events, by the rows of their users as they were before the events, or as a crash left them.

    Args:
        schema: the feature schema.
        block: rows of the view `user`.
        row: index into the block, per event.
        events: the events, in offset order.
    """
    config, new = schema.config, is_new(block, row, events.position)
    ids, seqs = block.ragged["event_ids"], block.ragged["event_seqs"].values.astype(np.int64)
    stored = mix_keys(ids.row, ids.values.astype(np.int64))
    order = np.argsort(stored)
    known = lookup_sorted(stored[order], order, mix_keys(row, events.event_key))
    is_known = known >= 0
    if is_known.any():
        is_known[is_known] = seqs[known[is_known]] == sequence_of(events.position)[is_known]
    counted = np.where(new, known < 0, is_known)
    counted[new] &= _first_occurrence(mix_keys(row, events.event_key)[new])
    acting = counted & new & (events.item_key != NO_KEY)
    engagement = np.where(acting, engagement_weights(config, events), 0.0)
    engaged_before = _engaged_before(config, block, row, events, engagement > 0)
    level = _saturation_levels(config, block, row, events, engagement)
    if config.liked_from:
        level = np.where(is_disliked(config, events), _opinion_levels(config, block, row, events, acting), level)
    if is_known.any():
        bits = block.ragged["event_engaged_before"].values.astype(np.int64)[known[is_known]]
        engaged_before[is_known], level[is_known] = _unpack_bits(bits, engaged_before.shape[1])
    return EventFlags(counted, engaged_before, level)


def record_event_ids(
    config: FeatureConfig, block: Block, row: Ints, events: Events, flags: EventFlags
) -> dict[str, Ragged]:
    """The columns of ids and flags after the events.

    Everything from the batch's first event of the user on is kept, since a crash may replay it. Of what was there
    before, the newest `config.event_ids` entries are kept.
    """
    kept = flags.counted & is_new(block, row, events.position)
    seq = sequence_of(events.position)
    first = np.full(block.size, np.iinfo(np.int64).max)
    np.minimum.at(first, row, seq)
    ids = block.ragged["event_ids"]
    rows = np.concatenate([ids.row, row[kept]])
    old = {name: block.ragged[name].values.astype(np.int64) for name in EVENT_COLUMNS}
    new = {"event_ids": events.event_key, "event_seqs": seq, "event_engaged_before": _pack_bits(flags)}
    columns = {name: np.concatenate([old[name], new[name][kept]]) for name in EVENT_COLUMNS}
    order = np.argsort(rows, kind="stable")
    rows = rows[order]
    touched = np.bincount(row, minlength=block.size) > 0
    before = touched[rows] & (columns["event_seqs"][order] < first[rows])
    return _drop_oldest({name: values[order] for name, values in columns.items()}, rows, before, block.size, config)


def trim_event_ids(config: FeatureConfig, block: Block) -> dict[str, Ragged]:
    """The columns of ids and flags cut to the newest `config.event_ids` entries of each row, for committed batches."""
    row = block.ragged["event_ids"].row
    columns = {name: block.ragged[name].values.astype(np.int64) for name in EVENT_COLUMNS}
    return _drop_oldest(columns, row, np.ones(len(row), bool), block.size, config)


def _drop_oldest(
    columns: dict[str, Ints], row: Ints, before: Mask, rows: int, config: FeatureConfig
) -> dict[str, Ragged]:
    """The columns without the oldest entries of each row among those that `before` marks."""
    from_end = np.zeros(len(row), np.int64)
    from_end[before] = rank_in_group(row[before][::-1])[::-1]
    keep = ~before | (from_end < config.event_ids)
    lengths = np.bincount(row[keep], minlength=rows).astype(np.int64)
    return {name: Ragged(values[keep], lengths) for name, values in columns.items()}


def _saturation_levels(config: FeatureConfig, block: Block, row: Ints, events: Events, engagement: Floats) -> Ints:
    strength = len(config.half_lives_s) - 1
    items = read_table(config, block, "item")
    return saturation_levels(items, row, events, engagement, strength, config.half_lives_s[strength])


def _opinion_levels(config: FeatureConfig, block: Block, row: Ints, events: Events, acting: Mask) -> Ints:
    """Levels of opinions by the user's earlier ones of the item: no one user makes an item unpopular either."""
    table = read_table(config, block, "opinion_item")
    said = acting & (is_liked(config, events) | is_disliked(config, events))
    counts = replace(table, value=entry_counts(config, table.value)[:, None])
    return saturation_levels(counts, row, events, said.astype(np.float64), 0, config.half_lives_s[-1])


def _engaged_before(config: FeatureConfig, block: Block, row: Ints, events: Events, counts: Mask) -> Mask:
    """Whether the user's first engagement before the event, in order of arrival, was at an earlier time: [E, 1 + F]."""
    items, facets = read_table(config, block, "item"), read_table(config, block, "facet")
    searched = [(items, events.item_key), *((facets, keys) for keys in events.facet_key.T)]
    result = np.zeros((len(events), len(searched)), bool)
    for number, (table, keys) in enumerate(searched):
        entry = table.lookup(row, keys)
        first_s = np.full(len(events), np.inf)
        first_s[entry >= 0] = table.first_s[entry[entry >= 0]]
        use = keys != NO_KEY
        first_s = np.minimum(first_s, _earliest_before(mix_keys(row, keys), events.time_s, counts & use))
        result[:, number] = use & (first_s < events.time_s)
    return result


def _earliest_before(group: NDArray[np.uint64], time_s: Floats, counts: Mask) -> Floats:
    """The earliest time among the counting events before each one in its group, infinite if there is none: [E]."""
    size = len(group)
    order = np.argsort(group, kind="stable")
    starts = run_starts(group[order])
    levels, level = np.unique(np.where(counts, time_s, np.inf), return_inverse=True)
    # Later groups lie below all earlier ones, so that the running minimum restarts with each.
    shift = np.cumsum(starts) * (len(levels) + 1)
    least = np.minimum.accumulate(level[order] - shift) if size else level
    before = np.full(size, np.inf)
    inner = np.flatnonzero(~starts)
    before[order[inner]] = levels[least[inner - 1] + shift[inner - 1]]
    return before


def _first_occurrence(values: NDArray[np.uint64]) -> Mask:
    """Which values occur for the first time."""
    first = np.zeros(len(values), bool)
    first[np.unique(values, return_index=True)[1]] = True
    return first


def _pack_bits(flags: EventFlags) -> Ints:
    """Earlier engagement as the lowest bits of a number, the first the lowest, and the level above them: [E]."""
    width = flags.engaged_before.shape[1]
    before = flags.engaged_before.astype(np.int64) @ (1 << np.arange(width, dtype=np.int64))
    bits: Ints = before + (flags.level << width)
    return bits


def _unpack_bits(bits: Ints, width: int) -> tuple[Mask, Ints]:
    """Earlier engagement [E, width] and level [E]."""
    engaged_before: Mask = (bits[:, None] >> np.arange(width)) & 1 == 1
    return engaged_before, bits >> width
