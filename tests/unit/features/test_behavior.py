"""Folding events into user rows."""

from dataclasses import replace

import numpy as np
import pytest

from services.features import behavior
from services.features.config import FeatureConfig
from services.features.dedup import classify_events
from services.features.event_types import EVENT_TYPES
from services.features.events import Events
from services.features.rows import Block, pack_rows, unpack_rows
from services.features.schema import Schema, build_schema
from tests.unit.features.conftest import START_S, make_events, renumbered

ENCODER = 7

ARRIVAL = ("position", "event_ids", "event_seqs", "event_engaged_before", "scenario_ids")
"""Features that depend on the order of arrival."""


def fold(schema: Schema, block: Block, events: Events) -> Block:
    users = [f"u{n}" for n in range(block.size)]
    row = np.array([users.index(user) for user in events.user], np.int64)
    return fold_rows(schema, block, row, events)


def fold_rows(schema: Schema, block: Block, row: np.ndarray, events: Events, encoder: int = ENCODER) -> Block:
    flags = classify_events(schema, block, row, events)
    return behavior.fold(schema, block, row, events, flags, encoder)


def empty(schema: Schema, rows: int = 5) -> Block:
    return pack_rows(schema["user"], [None] * rows)


def values(block: Block) -> list[dict[str, object]]:
    """The rows without features that depend on the order of arrival."""
    return [{k: v for k, v in row.items() if k not in ARRIVAL} for row in unpack_rows(block)]


def assert_same(expected: Block, actual: Block, tolerance: float = 1e-9) -> None:
    for left, right in zip(values(expected), values(actual), strict=True):
        for name in left:
            np.testing.assert_allclose(right[name], left[name], rtol=tolerance, atol=tolerance, err_msg=name)


@pytest.mark.parametrize("seed", range(5))
def test_order_of_arrival_does_not_matter(schema: Schema, events: Events, seed: int) -> None:
    """The same events in any order give the same features to 1e-9."""
    shuffled = renumbered(events.take(np.random.default_rng(seed).permutation(len(events))))
    assert_same(fold(schema, empty(schema), events), fold(schema, empty(schema), shuffled))


@pytest.mark.parametrize("size", [1, 7, 64, 299])
def test_batch_borders_do_not_matter(schema: Schema, events: Events, size: int) -> None:
    """The same events in batches of any size give the same features to 1e-9."""
    block = empty(schema)
    for begin in range(0, len(events), size):
        block = fold(schema, block, events.take(np.arange(begin, min(begin + size, len(events)))))
    assert_same(fold(schema, empty(schema), events), block)


def test_folding_twice_changes_nothing(schema: Schema, events: Events) -> None:
    """A batch that was folded before a crash changes no row, to the bit."""
    once = fold(schema, empty(schema), events)
    twice = fold(schema, once, events)
    for left, right in zip(unpack_rows(once), unpack_rows(twice), strict=True):
        for name in left:
            np.testing.assert_array_equal(left[name], right[name], err_msg=name)


def test_only_the_new_events_of_a_repeated_batch_are_folded(schema: Schema, events: Events) -> None:
    """A repeated batch with new events at its end adds just the new ones."""
    half = fold(schema, empty(schema), events.take(np.arange(150)))
    assert_same(fold(schema, empty(schema), events), fold(schema, half, events))


def test_an_event_id_that_a_producer_repeats_counts_once(schema: Schema, events: Events) -> None:
    """An event id seen at an earlier offset is dropped, within a batch and across batches."""
    again = events.take(np.arange(20))
    position = again.position.copy()
    position[:, 2] += 1000
    block = fold(schema, empty(schema), events.take(np.arange(20)))
    assert_same(block, fold(schema, block, replace(again, position=position)))


def test_offsets_of_a_newer_topic_epoch_are_new(schema: Schema) -> None:
    """A re-created topic starts at low offsets, and they are folded."""
    first, second = make_events(schema, 10), make_events(schema, 10, seed=1)
    position = second.position.copy()
    position[:, 0] = 2
    block = fold(schema, fold(schema, empty(schema), first), replace(second, position=position))
    assert 20 == pytest.approx(sum(len(row["event_ids"]) for row in unpack_rows(block)))


def test_counts_decay_by_half_per_half_life(schema: Schema) -> None:
    """A count is halved when the next event is one half-life later."""
    two = make_events(schema, 2, users=1)
    hour = schema.config.half_lives_s[0]
    two = replace(two, time_s=np.array([START_S, START_S + hour]), type=np.array([1, 1]))
    block = fold(schema, empty(schema, 1), two)
    counts = block.floats("counts").reshape(len(EVENT_TYPES), -1)
    assert 1.5 == pytest.approx(counts[1, 0])
    assert 2.0 == pytest.approx(counts[1, -1], rel=1e-3)


def test_a_full_table_evicts_the_weakest_entry() -> None:
    """With room for two items, the item with the least engagement at a common time is evicted."""
    small = build_schema(FeatureConfig(text_dims=4, category_levels=2, user_items=2))
    events = make_events(small, 3, users=1)
    day = 86400.0
    events = replace(
        events,
        type=np.array([3, 3, 3]),
        time_s=START_S + np.array([0.0, 40 * day, 50 * day]),
        item_key=np.array([11, 22, 33]),
    )
    (row,) = unpack_rows(fold(small, empty(small, 1), events))
    assert [22, 33] == row["item_key"].tolist()


def test_language_of_another_encoder_is_dropped(schema: Schema, events: Events) -> None:
    """Vectors of two encoders are never added."""
    row = np.zeros(len(events), np.int64)
    first = fold_rows(schema, empty(schema, 1), row[:150], events.take(np.arange(150)))
    switched = fold_rows(schema, first, row[150:], events.take(np.arange(150, 300)), ENCODER + 1)
    alone = fold_rows(schema, empty(schema, 1), row[150:], events.take(np.arange(150, 300)), ENCODER + 1)
    later = switched.floats("time_s") - alone.floats("time_s")
    decay = np.exp2(-later / schema.config.half_lives_s[-1])[:, None]
    np.testing.assert_allclose(switched.floats("language"), alone.floats("language") * decay, rtol=1e-9)
    assert ENCODER + 1 == switched.ints("encoder")[0]


def test_impressions_are_not_engagement(schema: Schema) -> None:
    """Impressions count, but are added to no table and no language vector."""
    events = replace(make_events(schema, 4, users=1), type=np.zeros(4, np.int64))
    (row,) = unpack_rows(fold(schema, empty(schema, 1), events))
    assert 0 == len(row["item_key"])
    assert not row["language"].any()
    assert row["counts"].any()
