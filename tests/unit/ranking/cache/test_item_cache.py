"""Item rows in memory: refresh, eviction, and outages."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pytest

from services.features.config import Attribute, FeatureConfig
from services.features.hashing import keys64
from services.features.rows import Block, pack_rows
from services.features.schema import build_schema
from services.ranking.cache.item_cache import ItemCache, ItemLookup
from services.ranking.cache.item_table import FREE, SPARE_SCENARIOS, ItemTable
from services.ranking.cache.row_pool import FIRST_ROWS
from services.store.protocol import Key, ReadRequest, StaleSchema, StoreUnavailable
from tests.unit.ranking.recording_store import Clock, RecordingStore

SCHEMA = build_schema(
    FeatureConfig(
        text_dims=2,
        attributes=(Attribute("margin", "item_scenario", default=0.5), Attribute("size", "item", default=-1.0)),
    )
)
AGE_S = 5.0
ENCODER = 7
SCENARIOS = ("tv", "web")


def put(store: RecordingStore, view: str, key: Key, **values: Any) -> None:
    """Store a row; features without a given value have their defaults."""
    block = pack_rows(SCHEMA[view], [None])
    columns = {name: np.array([value], block.fixed[name].dtype) for name, value in values.items()}
    store.write([key], block.with_columns({**columns, "schema": np.array([SCHEMA.fingerprint])}))


def describe(store: RecordingStore, item: str, size: float, facet: int = 11) -> None:
    facets = [facet, 0, 0, 0]
    put(
        store,
        "item",
        (item,),
        updated_s=1e9,
        attributes=[size],
        text_vector=[0.5, 1.0],
        encoder=ENCODER,
        facet_keys=facets,
    )


@pytest.fixture
def store() -> RecordingStore:
    store = RecordingStore()
    for number, item in enumerate("abc"):
        describe(store, item, number + 1.0, facet=number + 11)
        put(store, "item_scenario", (item, "web"), attributes=[10.0 * (number + 1)])
        put(store, "facet_activity", (str(number + 11),), unique_users=100.0 * (number + 1))
    return store


@pytest.fixture
def clock() -> Clock:
    return Clock()


def cache_over(store: RecordingStore, clock: Clock, size: int = 100) -> ItemCache:
    return ItemCache(store, SCHEMA, ENCODER, size, AGE_S, clock)


@pytest.fixture
def cache(store: RecordingStore, clock: Clock) -> ItemCache:
    return cache_over(store, clock)


def sizes(found: ItemLookup) -> list[float]:
    """The attribute of each item; unknown items have the default, -1."""
    return found.fields["items"].fixed[:, 4].tolist()


def margins(found: ItemLookup) -> list[list[float]]:
    """The attribute of each item in each scenario; missing ones have the default, 0.5."""
    return found.fields["pairs"].values[:, -1].reshape(-1, len(SCENARIOS)).tolist()


def unique_users(found: ItemLookup) -> list[float]:
    """The unique users of each item's broadest facet."""
    return found.fields["facet_activity"].unique_users[found.fields["items"].facet[:, 0]].tolist()


def read_items(store: RecordingStore) -> set[str]:
    """The entities read since the last call."""
    read = {key for keys in store.reads for key in keys}
    store.reads.clear()
    return read


def rows(cache: ItemCache, items: Iterable[str], scenarios: Sequence[str] = SCENARIOS) -> ItemLookup:
    return cache.lookup(list(items), scenarios)


def test_rows_come_in_the_order_of_the_items(cache: ItemCache) -> None:
    """Items, pairs, facets and keys, for any order in which they were first read."""
    rows(cache, "abc")
    found = rows(cache, "cab")
    assert sizes(found) == [3.0, 1.0, 2.0]
    assert margins(found) == [[0.5, 30.0], [0.5, 10.0], [0.5, 20.0]]
    assert unique_users(found) == [300.0, 100.0, 200.0]
    assert keys64("cab").tolist() == found.fields["items"].key.tolist()
    assert {0, 11, 12, 13} == set(found.fields["facet_key"].tolist())


def test_unknown_items_have_defaults(cache: ItemCache) -> None:
    found = rows(cache, "xa")
    assert found.known.tolist() == [False, True]
    assert sizes(found) == [-1.0, 1.0]
    assert margins(found) == [[0.5, 0.5], [0.5, 10.0]]
    assert unique_users(found) == [0.0, 100.0]


def test_a_deleted_item_is_unknown(cache: ItemCache, store: RecordingStore) -> None:
    """Its row remains with defaults, for its position."""
    put(store, "item", ("a",))
    assert [False, True] == rows(cache, "ab").known.tolist()


def test_scenarios_that_come_and_go_leave_no_columns(cache: ItemCache, store: RecordingStore) -> None:
    """The rows of those that stay keep their values."""
    for number in range(200):
        put(store, "item_scenario", ("b", f"hostile-{number}"), attributes=[-1.0])
        found = cache.lookup(["a", "b"], [*SCENARIOS, f"hostile-{number}"])
        assert [0.5, 10.0, 0.5, 0.5, 20.0, -1.0] == found.fields["pairs"].values[:, -1].tolist()
    table = cache._table
    assert len(table._scenarios) <= 2 * 3 + SPARE_SCENARIOS + 1
    assert table._pair_slots.shape[1] == len(table._scenarios)
    assert table._pairs.used <= 3 + len(table._scenarios)


def test_facets_that_no_item_has_any_more_are_dropped(cache: ItemCache, store: RecordingStore) -> None:
    """An item whose categories change with every update takes no more memory; other items keep theirs."""
    rows(cache, "abc")
    for number in range(5000):
        describe(store, "a", 1.0, facet=1000 + number)
        put(store, "facet_activity", (str(1000 + number),), unique_users=float(number))
        cache.read(["a"], SCENARIOS)
    table = cache._table
    assert len(table._facet_slots) <= FIRST_ROWS + 1
    assert table._facets.used <= FIRST_ROWS + 2
    assert [4999.0, 200.0, 300.0] == unique_users(rows(cache, "abc"))


def test_a_facet_that_was_dropped_while_its_item_was_read_is_read_again(
    cache: ItemCache, store: RecordingStore, clock: Clock
) -> None:
    """Otherwise the item would keep the facet's default values."""
    rows(cache, "abc")
    table = cache._table
    cache.mark_synced(clock.now_s)
    assert [] == cache.due_for_refresh(10)
    describe(store, "b", 2.0, facet=11)
    read = store.read_blocks

    def drop_and_read(requests: Any) -> Any:
        found = read(requests)
        if "facet_activity" == requests[0][0].name and "a" in table._slots:
            place = table._facet_slots[11]
            table._read_s[table._slots.pop("a")] = FREE
            table._drop_facets()
            table._facets.columns.unique_users[place] = -1.0  # another facet has its place
        return found

    store.read_blocks = drop_and_read  # type: ignore[method-assign]
    cache.read(["b"], SCENARIOS)
    store.read_blocks = read  # type: ignore[method-assign]
    cache.mark_synced(clock.now_s)
    assert [100.0] == unique_users(rows(cache, "b"))


def test_vectors_of_another_encoder_are_missing(store: RecordingStore, clock: Clock) -> None:
    found = ItemCache(store, SCHEMA, ENCODER + 1, 10, AGE_S, clock).lookup(["a"], SCENARIOS)
    assert [[0.0, 0.0]] == found.fields["items"].text.tolist()
    assert [[0.5, 1.0]] == cache_over(store, clock).lookup(["a"], SCENARIOS).fields["items"].text.tolist()


def test_fresh_rows_are_not_read_again(cache: ItemCache, store: RecordingStore, clock: Clock) -> None:
    """Only missing items are read, in two batches; stale ones are read again."""
    rows(cache, "ab")
    read_items(store)
    clock.now_s += AGE_S
    rows(cache, "abc")
    assert {"c", "13"} == read_items(store)
    clock.now_s += 0.1
    assert rows(cache, "abc").age_s == pytest.approx(0.1)
    assert {"a", "b", "0", "11", "12"} >= read_items(store) >= {"a", "b", "11", "12"}


def test_unchanged_rows_stay_fresh(cache: ItemCache, store: RecordingStore, clock: Clock) -> None:
    rows(cache, "ab")
    read_items(store)
    clock.now_s += 100 * AGE_S
    cache.mark_synced(clock.now_s)
    clock.now_s += 1.0
    assert rows(cache, "ab").age_s == 1.0
    assert set() == read_items(store)
    cache.mark_all_stale()
    rows(cache, "ab")
    assert {"a", "b"} <= read_items(store)


def test_changed_rows_in_the_cache_are_read_again(cache: ItemCache, store: RecordingStore, clock: Clock) -> None:
    rows(cache, "a")
    describe(store, "a", 9.0)
    describe(store, "b", 8.0)
    put(store, "facet_activity", ("11",), unique_users=5.0)
    read_items(store)
    clock.now_s += 1.0
    cache.mark_changed({"a", "b"}, {11, 12})
    cache.refresh_changed({"a", "b"}, {11, 12}, SCENARIOS)
    assert {"a", "11"} == read_items(store)
    cache.mark_synced(clock.now_s)
    found = rows(cache, "a")
    assert ([9.0], [5.0]) == (sizes(found), unique_users(found))
    assert set() == read_items(store)


def test_a_row_that_changes_while_it_is_read_is_read_again(
    cache: ItemCache, store: RecordingStore, clock: Clock
) -> None:
    """The read may have returned the old row: it does not make the row fresh."""
    original, changing = store.read_blocks, [True]

    def read_and_change(requests: Sequence[ReadRequest]) -> list[Block]:
        found = original(requests)
        if requests[0][0].name == "item" and changing.pop():
            describe(store, "a", 9.0)
            clock.now_s += 0.1
            cache.mark_changed({"a"}, set())
            cache.mark_synced(clock.now_s)
            changing.append(False)
        return found

    store.read_blocks = read_and_change
    assert [1.0] == sizes(rows(cache, "a"))
    changing[:] = [False]
    store.read_blocks = original
    assert [9.0] == sizes(rows(cache, "a"))


def test_a_row_deleted_in_the_store_is_removed(cache: ItemCache, store: RecordingStore, clock: Clock) -> None:
    rows(cache, "ab")
    for view in ("item", "item_scenario"):
        store.rows[view].clear()
    clock.now_s += AGE_S + 1
    found = rows(cache, "ab")
    assert [False, False] == found.known.tolist()
    assert [[0.5, 0.5]] * 2 == margins(found)


def test_returned_rows_do_not_change(cache: ItemCache, store: RecordingStore, clock: Clock) -> None:
    found = rows(cache, "a")
    describe(store, "a", 9.0)
    clock.now_s += AGE_S + 1
    assert [9.0] == sizes(rows(cache, "a"))
    assert [1.0] == sizes(found)


def test_during_an_outage_the_last_known_rows_are_used(cache: ItemCache, store: RecordingStore, clock: Clock) -> None:
    """With their age; items that were never read have defaults, and are read after the outage."""
    rows(cache, "a")
    store.failure = StoreUnavailable("away")
    clock.now_s += AGE_S + 2
    found = rows(cache, "ab")
    assert not found.available
    assert [1.0, -1.0] == sizes(found)
    store.failure = None
    found = rows(cache, "ab")
    assert found.available
    assert [1.0, 2.0] == sizes(found)


def test_rows_of_another_schema_are_an_error_each_time(cache: ItemCache, store: RecordingStore) -> None:
    store.failure = StaleSchema("other")
    for _ in range(2):
        with pytest.raises(StaleSchema):
            rows(cache, "a")


def test_the_least_recently_used_items_are_evicted(store: RecordingStore, clock: Clock) -> None:
    cache = cache_over(store, clock, size=2)
    for item in "aba":
        clock.now_s += 0.1
        rows(cache, item)
    rows(cache, "c")
    assert len(cache) == 2
    read_items(store)
    rows(cache, "a")
    assert set() == read_items(store)
    found = rows(cache, "b")
    assert "b" in read_items(store)
    assert [[0.5, 20.0]] == margins(found)


def test_a_request_larger_than_the_capacity_is_complete(store: RecordingStore, clock: Clock) -> None:
    cache = cache_over(store, clock, size=2)
    assert [1.0, 2.0, 3.0] == sizes(rows(cache, "abc"))


def test_the_items_of_a_request_do_not_evict_each_other(store: RecordingStore, clock: Clock) -> None:
    """Also its cached items that were least recently used are kept, for any capacity."""
    for size in (1, 2):
        cache = cache_over(store, clock, size=size)
        for item in "ab":
            clock.now_s += 0.1
            rows(cache, item)
        found = rows(cache, "abc")
        assert [1.0, 2.0, 3.0] == sizes(found)
        assert [True] * 3 == found.known.tolist()


def test_concurrent_reads_evict_the_least_recently_used(store: RecordingStore, clock: Clock) -> None:
    """The items of a request that waits for the store stay in the cache."""
    for number in range(10):
        describe(store, f"other {number}", 9.0)
    cache = cache_over(store, clock, size=10)
    rows(cache, "a")
    clock.now_s += 0.1
    rows(cache, [f"other {number}" for number in range(8)])
    clock.now_s += 0.1
    read, others = store.read_blocks, ["other 8", "other 9"]

    def read_concurrently(requests: Sequence[ReadRequest]) -> list[Block]:
        store.read_blocks = read  # type: ignore[method-assign]
        rows(cache, others)
        return read(requests)

    store.read_blocks = read_concurrently  # type: ignore[method-assign]
    assert [1.0, 2.0] == sizes(rows(cache, "ab"))


def test_many_evictions_keep_each_items_own_rows(store: RecordingStore, clock: Clock) -> None:
    """Slots of items and pairs are reused, and columns grow."""
    names = [f"i{number}" for number in range(3000)]
    for number, item in enumerate(names):
        describe(store, item, float(number), facet=number + 1)
        put(store, "item_scenario", (item, "tv"), attributes=[number / 2])
    cache = cache_over(store, clock, size=1500)
    for first in range(0, 3000, 500):
        clock.now_s += 0.01
        found = rows(cache, names[first : first + 500])
        assert [float(number) for number in range(first, first + 500)] == sizes(found)
        assert [number / 2 for number in range(first, first + 500)] == [tv for tv, _ in margins(found)]
    assert len(cache) <= 1500
    assert [2999.0, 3.0] == sizes(rows(cache, [names[2999], names[3]]))


def test_a_new_scenario_has_its_pairs(cache: ItemCache, store: RecordingStore) -> None:
    """Also pairs that were stored before the first request for the scenario."""
    assert [[0.5, 10.0]] == margins(rows(cache, "a", ["tv", "web"]))
    put(store, "item_scenario", ("a", "late"), attributes=[7.0])
    assert [[10.0, 7.0]] == margins(rows(cache, "a", ["web", "late"]))


def test_a_scenario_named_twice_has_one_column() -> None:
    """Pairs name a scenario once per item: a column for each would need kilobytes per item."""
    table = ItemTable(SCHEMA, ENCODER, 10)
    assert [0, 1, 0] == table.scenario_columns(["tv", "web", "tv"]).tolist()
    assert [1, 2] == table.scenario_columns(["web", "late"]).tolist()


def test_rows_are_due_before_they_become_stale(cache: ItemCache, clock: Clock) -> None:
    """The most recently used rows come first."""
    for item in "abc":
        rows(cache, item)
        clock.now_s += 0.1
    assert [] == cache.due_for_refresh(2)
    clock.now_s += AGE_S / 2
    assert ["c", "b"] == cache.due_for_refresh(2)
    cache.mark_synced(clock.now_s)
    assert [] == cache.due_for_refresh(2)
