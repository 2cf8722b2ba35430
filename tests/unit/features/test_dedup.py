"""Event flags: repeats, and earlier engagement of the event's user."""

from dataclasses import replace

import numpy as np
import pytest

from services.features import behavior
from services.features.config import FeatureConfig
from services.features.dedup import EVENT_COLUMNS, EventFlags, classify_events, trim_event_ids
from services.features.events import Events, engagement_weights, is_disliked, is_liked
from services.features.rows import Block, pack_rows, unpack_rows
from services.features.schema import Schema, build_schema
from tests.unit.features.conftest import START_S, make_events

ENCODER = 7


def rows_of(events: Events) -> np.ndarray:
    return np.array([int(user[1:]) for user in events.user], np.int64)


def empty(schema: Schema, rows: int = 5) -> Block:
    return pack_rows(schema["user"], [None] * rows)


def fold_with_flags(schema: Schema, block: Block, events: Events) -> tuple[Block, EventFlags]:
    row = rows_of(events)
    flags = classify_events(schema, block, row, events)
    return behavior.fold(schema, block, row, events, flags, ENCODER), flags


def join_flags(parts: list[EventFlags]) -> tuple[list[bool], list[list[int]]]:
    """Whether each event counts, and its earlier engagement and level."""
    counted, before, level = (np.concatenate([getattr(p, name) for p in parts]) for name in vars(parts[0]))
    return counted.tolist(), np.column_stack([before, level]).tolist()


def expected_flags(schema: Schema, events: Events) -> tuple[list[bool], list[list[int]]]:
    """Flags computed one event at a time, without the code under test."""
    half_life_s = schema.config.half_lives_s[-1]
    engaged: dict[tuple[str, str], list[tuple[float, float]]] = {}
    said: dict[tuple[str, str], list[tuple[float, float]]] = {}
    ids: set[tuple[str, int]] = set()
    first: dict[tuple[str, int, int], float] = {}
    counted, before = [], []
    disliked = is_disliked(schema.config, events)
    opinion = disliked | is_liked(schema.config, events)
    weight = engagement_weights(schema.config, events)
    for n in range(len(events)):
        user, time_s = events.user[n], events.time_s[n]
        keys = [(user, level, int(key)) for level, key in enumerate((events.item_key[n], *events.facet_key[n]))]
        # Facets of all levels share a table.
        keys = [(user, min(level, 1), key) for user, level, key in keys]
        counted.append((user, int(events.event_key[n])) not in ids)
        ids.add((user, int(events.event_key[n])))
        before.append([int(first.get(key, np.inf) < time_s) for key in keys])
        mine = (said if disliked[n] else engaged).setdefault((user, events.item[n]), [])
        newest_s = max([time_s, *(at for at, _ in mine)])
        earlier = sum(added * 2.0 ** (-(newest_s - at) / half_life_s) for at, added in mine)
        before[-1].append(round(8 * np.log2(1 + earlier / 4)) if counted[-1] and (weight[n] > 0 or disliked[n]) else 0)
        if counted[-1] and opinion[n]:
            said.setdefault((user, events.item[n]), []).append((time_s, 1.0))
        if counted[-1] and weight[n] > 0:
            mine.append((time_s, weight[n]))
            for key in keys:
                first[key] = min(time_s, first.get(key, np.inf))
    return counted, before


def repeat_some(events: Events, seed: int = 3) -> Events:
    """The events with a tenth of them sent again shortly after."""
    random = np.random.default_rng(seed)
    order: list[int] = []
    for n in range(len(events)):
        order.append(n)
        if n > 10 and random.random() < 0.1:
            order.append(n - int(random.integers(0, 10)))
    again = events.take(np.array(order))
    position = again.position.copy()
    position[:, 2] = np.arange(len(again))
    return replace(again, position=position)


@pytest.mark.parametrize("size", [1, 7, 64, 1000])
def test_flags_do_not_depend_on_batch_borders(schema: Schema, events: Events, size: int) -> None:
    """Repeats in the same batch and across batches; first engagements in order of arrival, late ones among them."""
    events = repeat_some(events)
    block, parts = empty(schema), []
    for begin in range(0, len(events), size):
        block, flags = fold_with_flags(schema, block, events.take(np.arange(begin, min(begin + size, len(events)))))
        parts.append(flags)
    counted, before = join_flags(parts)
    wanted_counted, wanted_before = expected_flags(schema, events)
    assert wanted_counted == counted
    # Earlier engagement of a repeat is not compared: repeats are not counted.
    assert [r for r, c in zip(wanted_before, counted, strict=True) if c] == [
        r for r, c in zip(before, counted, strict=True) if c
    ]


@pytest.mark.parametrize("size", [1, 13, 100, 1000])
@pytest.mark.parametrize("event_ids", [1, 64])
def test_a_batch_folded_again_gets_the_flags_of_the_first_time(size: int, event_ids: int) -> None:
    """For any batch borders of the repetition, also when it continues past the crash; rows do not change."""
    schema = build_schema(FeatureConfig(text_dims=4, category_levels=2, event_ids=event_ids))
    events = repeat_some(make_events(schema, 300))
    start, _ = fold_with_flags(schema, empty(schema), events.take(np.arange(100)))
    once, flags = fold_with_flags(schema, start, events.take(np.arange(100, 250)))
    end, later = fold_with_flags(schema, once, events.take(np.arange(250, len(events))))
    block, parts = once, []
    for begin in range(100, len(events), size):
        block, part = fold_with_flags(schema, block, events.take(np.arange(begin, min(begin + size, len(events)))))
        parts.append(part)
    counted, before = join_flags(parts)
    first_counted, first_before = join_flags([flags, later])
    assert first_counted[:150] == counted[:150]
    kept = np.array(first_counted[:150])
    np.testing.assert_array_equal(np.array(first_before[:150])[kept], np.array(before[:150])[kept])
    if event_ids == 64:
        assert first_counted == counted
        np.testing.assert_allclose(block.floats("counts"), end.floats("counts"), rtol=1e-9)


def test_old_records_read_again_are_not_counted(schema: Schema, events: Events) -> None:
    """Records below the oldest stored id were committed: resetting the offsets adds nothing to activity."""
    block = empty(schema)
    for begin in range(0, 300, 30):
        block, _ = fold_with_flags(schema, block, events.take(np.arange(begin, begin + 30)))
    small = build_schema(replace(schema.config, event_ids=1))
    flags = classify_events(small, block, rows_of(events), events)
    again, _ = fold_with_flags(small, block, events)
    np.testing.assert_array_equal(block.floats("counts"), again.floats("counts"))
    stored_ids = sum(len(row["event_ids"]) for row in unpack_rows(block))
    assert stored_ids == flags.counted.sum()


def test_rows_keep_the_newest_event_ids_only(schema: Schema) -> None:
    """The newest ids from before a batch, and the ids of the batch."""
    few = build_schema(replace(schema.config, event_ids=3))
    events = make_events(few, 20, users=1)
    block = empty(few, 1)
    for begin in range(0, 20, 5):
        block, _ = fold_with_flags(few, block, events.take(np.arange(begin, begin + 5)))
    (row,) = unpack_rows(block)
    assert events.event_key[12:].tolist() == row["event_ids"].tolist()
    assert [(1 << 40) + offset for offset in range(12, 20)] == row["event_seqs"].tolist()


def test_an_engagement_at_the_same_time_is_not_an_earlier_one(schema: Schema) -> None:
    """Events with equal times are not earlier engagement of each other; an impression is not engagement."""
    events = make_events(schema, 4, users=1, items=1)
    events = replace(
        events, time_s=START_S + np.array([0.0, 1.0, 1.0, 2.0]), type=np.array([0, 3, 3, 3])
    )  # shown, bought twice, bought
    _, flags = fold_with_flags(schema, empty(schema, 1), events)
    assert [False, False, False, True] == flags.engaged_before[:, 0].tolist()


def test_committed_event_ids_are_trimmed_to_the_newest(schema: Schema) -> None:
    """A history folded in one batch keeps no more ids than the same history as a stream."""
    few = build_schema(replace(schema.config, event_ids=3))
    events = make_events(few, 40, users=2)
    block, _ = fold_with_flags(few, empty(few, 2), events)
    kept = block.with_columns({}, trim_event_ids(few.config, block))
    for user, (before, after) in enumerate(zip(unpack_rows(block), unpack_rows(kept), strict=True)):
        assert events.event_key[rows_of(events) == user].tolist() == before["event_ids"].tolist()
        for name in EVENT_COLUMNS:
            assert before[name][-3:].tolist() == after[name].tolist()
