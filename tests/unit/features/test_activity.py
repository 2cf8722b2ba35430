"""Deltas of batches, and rows that are the sums of deltas."""

from dataclasses import replace

import numpy as np
import pytest

from services.features import activity
from services.features.activity import DeltaColumns, compute_deltas
from services.features.dedup import EventFlags
from services.features.event_types import EVENT_TYPES
from services.features.events import Events
from services.features.rows import Block, pack_rows
from services.features.schema import Schema


def unsaturated(schema: Schema, counted: np.ndarray) -> EventFlags:
    """Flags of events of users without history."""
    size = len(counted)
    return EventFlags(counted, np.zeros((size, 1 + len(schema.config.facets)), bool), np.zeros(size, np.int64))


def deltas_of(schema: Schema, events: Events, *ids: str) -> DeltaColumns:
    """Deltas of events without repeats, of users without history."""
    size = len(events)
    flags = unsaturated(schema, np.ones(size, bool))
    return compute_deltas(schema, events, flags, *ids)


def fold_rows(
    schema: Schema, view: str, ids: tuple[str, ...], batches: list[Events]
) -> tuple[list[tuple[str, ...]], Block]:
    names = sorted({tuple(key) for batch in batches for key in deltas_of(schema, batch, *ids).group.tolist()})
    block = pack_rows(schema[view], [None] * len(names))
    for number, batch in enumerate(batches):
        deltas = deltas_of(schema, batch, *ids)
        block = activity.fold(schema, block, rows_of(names, deltas), deltas, at(number, len(deltas)))
    return names, block


def rows_of(names: list[tuple[str, ...]], deltas: DeltaColumns) -> np.ndarray:
    return np.array([names.index(tuple(key)) for key in deltas.group.tolist()], np.int64)


def at(offset: int, count: int) -> np.ndarray:
    return np.tile(np.array([1, 0, offset]), (count, 1))


@pytest.mark.parametrize(
    ("view", "ids"),
    [
        ("item_activity", ("item",)),
        ("item_scenario_activity", ("item", "scenario")),
        ("facet_activity", ("facet",)),
        ("scenario_activity", ("scenario",)),
    ],
)
def test_batches_in_any_order_and_size_sum_to_the_same(
    schema: Schema, events: Events, view: str, ids: tuple[str, ...]
) -> None:
    """Deltas of one batch, of ten, and of ten backwards give equal rows to 1e-9."""
    tenths = [events.take(np.arange(begin, begin + 30)) for begin in range(0, 300, 30)]
    names, expected = fold_rows(schema, view, ids, [events])
    for batches in (tenths, tenths[::-1]):
        again, actual = fold_rows(schema, view, ids, batches)
        assert names == again
        for name in set(expected.fixed) - {"position"}:
            np.testing.assert_allclose(actual.fixed[name], expected.fixed[name], rtol=1e-9, atol=1e-9, err_msg=name)


def test_folding_a_delta_twice_changes_nothing(schema: Schema, events: Events) -> None:
    """A record at or below the row's position is skipped."""
    _, block = fold_rows(schema, "scenario_activity", ("scenario",), [events])
    deltas = deltas_of(schema, events, "scenario")
    names = [("s0",), ("s1",), ("s2",)]
    again = activity.fold(schema, block, rows_of(names, deltas), deltas, at(0, len(deltas)))
    np.testing.assert_array_equal(block.floats("counts"), again.floats("counts"))


def test_repeats_add_nothing(schema: Schema, events: Events) -> None:
    """An event flagged as a repeat is added to no sum."""
    counted = np.arange(300) < 200
    flags = unsaturated(schema, counted)
    for ids in (("item",), ("facet",), ("scenario",), ("item", "scenario")):
        expected = deltas_of(schema, events.take(counted), *ids)
        np.testing.assert_array_equal(expected.counts, compute_deltas(schema, events, flags, *ids).counts)


def test_newest_price_wins(schema: Schema, events: Events) -> None:
    """last_value is the price of the newest purchase that has one, in any order."""
    bought = np.flatnonzero((events.type == 3) & np.isfinite(events.value) & (events.item == "i3"))
    newest = bought[np.argmax(events.time_s[bought])]
    deltas = deltas_of(schema, events, "item")
    place = deltas.group[:, 0].tolist().index("i3")
    assert events.value[newest] == deltas.last_value[place]
    assert events.time_s[newest] == deltas.last_value_s[place]


def test_events_without_items_count_for_scenarios_only(schema: Schema, events: Events) -> None:
    """A batch of queries has no item deltas and a delta per scenario."""
    queries = replace(
        events,
        item=np.full(300, "", object),
        item_key=np.zeros(300, np.int64),
        type=np.full(300, EVENT_TYPES.index("query")),
    )
    assert 0 == len(deltas_of(schema, queries, "item")) == len(deltas_of(schema, queries, "item", "scenario"))
    assert {"s0", "s1", "s2"} == set(deltas_of(schema, queries, "scenario").group[:, 0])
