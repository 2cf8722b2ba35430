"""The replay: features of a request depend on the past only."""

from dataclasses import replace

import numpy as np
import pytest

from export.replay.history import DatasetHistory, ItemScenarios
from export.replay.replay import Replay
from export.rows.requests import LabelledRequests, read_feature_rows
from services.features.catalogue import ItemState, ScenarioState
from services.features.config import DAY_S, Attribute, FeatureConfig
from services.features.encode import Tensors, encode
from services.features.events import Events
from services.features.hashing import keys64
from services.features.schema import Schema, build_schema
from services.store.memory import MemoryRowStore
from services.store.protocol import read_rows
from services.text.protocol import HashingEncoder

T0 = 1_700_000_000.0
SOURCES = ["s0", "s1"]


@pytest.fixture
def schema() -> Schema:
    """A schema with a placement attribute, as Complete Journey has."""
    return build_schema(FeatureConfig(attributes=(Attribute("placed", "item_scenario"),)))


def purchases(times: list[float], item: str = "i0") -> Events:
    count = len(times)
    return Events(
        user=np.array(["u"] * count, object),
        scenario=np.array(["s0"] * count, object),
        item=np.array([item] * count, object),
        type=np.full(count, 3),
        time_s=np.array(times),
        value=np.full(count, np.nan),
        event_key=keys64(f"e{time}" for time in times),
        position=np.array([(0, 0, n) for n in range(count)]).reshape(count, 3),
        item_key=np.zeros(count, np.int64),
        facet_key=np.zeros((count, 4), np.int64),
        text_vector=np.zeros((count, 64)),
    )


def history(times: list[float], request_times: list[float], placements: list[tuple[float, float]]) -> DatasetHistory:
    count = len(request_times)
    requests = LabelledRequests(
        request_id=np.array([f"r{n}" for n in range(count)], object),
        user=np.array(["u"] * count, object),
        scenario=np.array(["s1"] * count, object),
        item=np.array(["i0"] * count, object),
        label=np.arange(count) % 2,
        split=np.array(["train"] * count, object),
        time_s=np.array(request_times),
        context=np.zeros((count, 0)),
    )
    placed = ItemScenarios(
        np.array(["i0"] * len(placements), object),
        np.array(["s1"] * len(placements), object),
        np.array([time for time, _ in placements]),
        np.array([[value] for _, value in placements]).reshape(-1, 1),
    )
    return DatasetHistory(
        behavior=purchases(times),
        behavior_text=np.array([""] * len(times), object),
        requests=requests,
        items=[("i0", ItemState(T0, "tea", categories=("drinks",)))],
        item_scenarios=placed,
        scenarios=[(scenario, ScenarioState(T0, scenario)) for scenario in SOURCES],
    )


def replayed(schema: Schema, past: DatasetHistory) -> list[Tensors]:
    store, encoder = MemoryRowStore(), HashingEncoder()
    rows: list[Tensors] = []

    def on_requests(_: float, requests: LabelledRequests) -> None:
        rows.append(encode(schema, read_feature_rows(store, schema, encoder.fingerprint, SOURCES, requests)))

    Replay(past, schema, encoder, store).run(T0 + 100 * DAY_S, on_requests)
    return rows


def assert_equal(left: Tensors, right: Tensors) -> None:
    for name in Tensors.__dataclass_fields__:
        np.testing.assert_array_equal(getattr(left, name), getattr(right, name), err_msg=name)


def test_planted_future_event_changes_no_earlier_row(schema: Schema) -> None:
    """An event at a request's time changes later requests only."""
    days = [T0 + n * DAY_S for n in range(1, 10)]
    requests = [T0 + 5 * DAY_S, T0 + 7 * DAY_S]
    clean = replayed(schema, history([d for d in days if d < T0 + 5 * DAY_S], requests, []))
    planted = replayed(schema, history([d for d in days if d < T0 + 5 * DAY_S] + [T0 + 5 * DAY_S], requests, []))
    assert_equal(clean[0], planted[0])
    assert not np.array_equal(clean[1].cross, planted[1].cross)


def test_update_at_the_requests_time_is_visible(schema: Schema) -> None:
    """An update valid from the time of the request is visible; a later one is not."""
    request = T0 + 5 * DAY_S
    (none,) = replayed(schema, history([T0 + 1], [request], []))
    (now,) = replayed(schema, history([T0 + 1], [request], [(request, 9.0)]))
    (later,) = replayed(schema, history([T0 + 1], [request], [(request + 1, 9.0)]))
    assert_equal(none, later)
    assert 9.0 == (now.cross - none.cross).max()


def test_new_version_of_an_item_holds_for_later_events_only(schema: Schema) -> None:
    """Events fold with the item's version at their time."""
    moved = history([T0 + DAY_S, T0 + 3 * DAY_S], [T0 + 5 * DAY_S], [])
    versions = [*moved.items, ("i0", ItemState(T0 + 2 * DAY_S, "tea", categories=("gifts",)))]
    store = MemoryRowStore()
    Replay(replace(moved, items=versions), schema, HashingEncoder(), store).run(T0 + 9 * DAY_S, lambda *_: None)
    (row,) = read_rows(store, schema["user"], [("u",)])
    assert row is not None
    assert 2 == len(row["facet_key"])


def test_labelled_requests_do_not_affect_each_other(schema: Schema) -> None:
    """Candidates are no events: a request does not change features."""
    one = replayed(schema, history([T0 + 1], [T0 + 5 * DAY_S], []))
    two = replayed(schema, history([T0 + 1], [T0 + 4 * DAY_S, T0 + 5 * DAY_S], []))
    assert_equal(one[0], two[1])
