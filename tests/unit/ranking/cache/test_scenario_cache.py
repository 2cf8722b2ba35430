"""The scenario cache: refresh, and use while the store is unavailable."""

import numpy as np
import pytest

from services.features.catalogue import ScenarioState
from services.features.config import FeatureConfig
from services.features.rows import pack_rows
from services.features.schema import build_schema
from services.ranking.cache.scenario_cache import ScenarioCache
from services.store.folding import fold_states, index_scenarios, read_scenario_ids
from services.store.protocol import StoreUnavailable
from tests.unit.ranking.recording_store import Clock, RecordingStore

SCHEMA = build_schema(FeatureConfig(text_dims=2))


def describe(store: RecordingStore, offset: int, *names: str) -> None:
    """Write the rows of scenarios and the index."""
    view, states = SCHEMA["scenario"], [ScenarioState(1e9, name=name.upper()) for name in names]
    positions = [(1, 0, offset + number) for number in range(len(names))]
    fold_states(store, SCHEMA, view, [(name,) for name in names], states, positions, np.ones((len(names), 2)), 7)
    index_scenarios(store, SCHEMA, names, positions[-1])


@pytest.fixture
def store() -> RecordingStore:
    store = RecordingStore()
    describe(store, 0, "tv", "shelf")
    return store


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def cache(store: RecordingStore, clock: Clock) -> ScenarioCache:
    return ScenarioCache(store, SCHEMA, 2.0, 64, clock)


def test_scenarios_are_sorted_by_id_with_rows_in_that_order(cache: ScenarioCache) -> None:
    """The index of a known scenario is its place; of an unknown one None."""
    found = cache.current()
    assert found.ids == ("shelf", "tv")
    assert found.rows.fixed["name"].tolist() == ["SHELF", "TV"]
    assert found.activity.size == 2
    assert (found.index("tv"), found.index("radio"), found.available) == (1, None, True)


def test_a_new_scenario_is_visible_when_the_cached_ones_are_stale(
    cache: ScenarioCache, store: RecordingStore, clock: Clock
) -> None:
    """Not before: most requests do not read the store."""
    cache.current()
    reads = len(store.reads)
    describe(store, 2, "radio")
    reads_of_writing = len(store.reads) - reads
    clock.now_s += 2
    assert cache.current().ids == ("shelf", "tv")
    assert len(store.reads) == reads + reads_of_writing
    clock.now_s += 0.1
    assert cache.current().ids == ("radio", "shelf", "tv")


def test_deleted_scenarios_are_not_known(cache: ScenarioCache, store: RecordingStore) -> None:
    """Also if they are still listed: earlier consumers kept them in the list."""
    view = SCHEMA["scenario"]
    fold_states(store, SCHEMA, view, [("tv",)], [None], [(1, 0, 9)], np.zeros((1, 2)), 7)
    assert ["shelf", "tv"] == read_scenario_ids(store, SCHEMA)
    found = cache.current()
    assert (("shelf",), ["SHELF"], 1) == (found.ids, found.rows.fixed["name"].tolist(), found.activity.size)
    assert found.index("tv") is None


def test_of_too_many_scenarios_the_most_active_are_used(
    store: RecordingStore, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    """Sorted by id as always; the log has one line until the number changes."""
    describe(store, 2, *(f"a{number:03}" for number in range(500)))
    view = SCHEMA["scenario_activity"]
    block = pack_rows(view, [None])
    counts = np.ones_like(block.floats("counts"))
    store.write([("tv",)], block.with_columns({"counts": counts, "schema": np.array([SCHEMA.fingerprint])}))
    cache = ScenarioCache(store, SCHEMA, 2.0, 3, clock)
    found = cache.current()
    assert (("a000", "a001", "tv"), ["A000", "A001", "TV"]) == (found.ids, found.rows.fixed["name"].tolist())
    assert [0.0, 0.0, 1.0] == found.activity.floats("counts")[:, 0].tolist()
    clock.now_s += 3
    assert found.ids == cache.current().ids
    assert 1 == sum("scenarios_over_limit" in line for line in caplog.messages)


def test_during_an_outage_the_last_known_scenarios_are_used(
    cache: ScenarioCache, store: RecordingStore, clock: Clock
) -> None:
    """They are marked as such; after the outage they are read at once."""
    cache.current()
    store.failure = StoreUnavailable("away")
    assert cache.current().available
    clock.now_s += 3
    during = cache.current()
    assert (during.ids, during.rows.size, during.available) == (("shelf", "tv"), 2, False)
    store.failure = None
    assert cache.current().available


def test_without_a_successful_read_there_are_no_scenarios(cache: ScenarioCache, store: RecordingStore) -> None:
    """An outage from the start is distinguished from an empty store."""
    store.failure = StoreUnavailable("away")
    assert (cache.current().ids, cache.current().available) == ((), False)
    store.failure = None
    store.rows.clear()
    assert (cache.current().ids, cache.current().available) == ((), True)
