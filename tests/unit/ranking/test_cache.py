"""Item rows in memory: what is read again and when, what leaves, and what an outage leaves."""

from collections.abc import Iterable, Sequence

import numpy as np
import pytest

from services.features.config import Attribute, FeatureConfig
from services.features.rows import Row, pack, unpack
from services.features.schema import build_schema
from services.ranking.cache import FIRST_ROWS, ColumnCache
from services.store.memory import MemoryRowStore
from services.store.protocol import Key, StaleSchema, StoreUnavailable
from tests.unit.ranking.recording_store import Clock, RecordingStore

SCHEMA = build_schema(FeatureConfig(text_dims=2, attributes=(Attribute("margin", "item_scenario", default=0.5),)))
VIEW = SCHEMA["item_scenario"]
AGE_S = 5.0


def keys_of(items: Iterable[str]) -> list[Key]:
    return [(item, "tv") for item in items]


def put(store: RecordingStore, **values: float) -> None:
    """Store rows with these attribute values."""
    (default,) = unpack(pack(VIEW, [None]))
    rows: list[Row | None] = [{**default, "attributes": np.array([value])} for value in values.values()]
    store.write(keys_of(values), pack(VIEW, rows))


@pytest.fixture
def store() -> RecordingStore:
    store = RecordingStore()
    put(store, a=1.0, b=2.0, c=3.0)
    return store


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def cache(store: RecordingStore, clock: Clock) -> ColumnCache:
    return ColumnCache(store, VIEW, 100, AGE_S, clock)


def margins(cache: ColumnCache, items: Sequence[str]) -> list[float]:
    """The cached attribute of each item; unknown items have the default, 0.5."""
    return cache.rows(keys_of(items)).block.floats("attributes")[:, 0].tolist()


def test_rows_come_in_the_order_of_the_keys(cache: ColumnCache) -> None:
    """Whatever the order in which they were read first; no keys give no rows."""
    assert margins(cache, "ab") == [1.0, 2.0]
    assert margins(cache, "cba") == [3.0, 2.0, 1.0]
    assert margins(cache, "") == []


def test_unknown_keys_have_defaults(cache: ColumnCache) -> None:
    """And are told apart."""
    found = cache.rows(keys_of(["a", "x"]))
    assert found.block.floats("attributes")[:, 0].tolist() == [1.0, 0.5]
    assert found.block.ints("position").tolist()[1] == [-1, -1, -1]
    assert found.known.tolist() == [True, False]
    assert found.available


def test_every_column_is_what_the_store_has(cache: ColumnCache, store: RecordingStore) -> None:
    """The same block as without a cache."""
    found, expected = cache.rows(keys_of("abx")).block, pack(VIEW, store.read(VIEW, keys_of("abx")))
    assert (found.view, found.size, set(found.fixed)) == (expected.view, 3, set(expected.fixed))
    for name, column in expected.fixed.items():
        assert found.fixed[name].dtype == column.dtype
        np.testing.assert_array_equal(found.fixed[name], column)


def test_strings_are_kept(store: RecordingStore) -> None:
    """The view of items holds titles and vectors beside numbers."""
    (default,) = unpack(pack(SCHEMA["item"], [None]))
    row: Row = {**default, "title": np.array("Tea", object), "text_vector": np.array([0.6, 0.8])}
    store.write([("i",)], pack(SCHEMA["item"], [row]))
    found = ColumnCache(store, SCHEMA["item"], 10, AGE_S).rows([("j",), ("i",)]).block
    assert found.fixed["title"].tolist() == ["", "Tea"]
    assert found.floats("text_vector").tolist() == [[0, 0], [0.6, 0.8]]


def test_rows_are_read_again_when_they_are_older_than_the_bound(
    cache: ColumnCache, store: RecordingStore, clock: Clock
) -> None:
    """Not before, and at exactly that age not yet."""
    margins(cache, "a")
    put(store, a=9.0)
    clock.now_s += AGE_S
    assert margins(cache, "a") == [1.0]
    clock.now_s += 0.1
    assert margins(cache, "a") == [9.0]
    assert store.reads == [["a"], ["a"]]


def test_only_missing_and_old_rows_are_read_and_in_one_batch(
    cache: ColumnCache, store: RecordingStore, clock: Clock
) -> None:
    """Also rows that the store did not have are not asked for again until they are old."""
    margins(cache, "ax")
    clock.now_s += 3
    margins(cache, "abx")
    clock.now_s += 3
    margins(cache, "abcx")
    assert store.reads == [["a", "x"], ["b"], ["a", "c", "x"]]


def test_ages_count_from_the_reading(cache: ColumnCache, clock: Clock) -> None:
    """Each row's own."""
    margins(cache, "a")
    clock.now_s += 3
    assert cache.rows(keys_of("ab")).age_s.tolist() == [3, 0]


def test_a_row_deleted_in_the_store_is_forgotten(cache: ColumnCache, store: RecordingStore, clock: Clock) -> None:
    """At the next reading it is as if it had never been there."""
    margins(cache, "a")
    store.delete(VIEW, keys_of("a"), (9, 0, 0))
    clock.now_s += 6
    found = cache.rows(keys_of("a"))
    assert (found.block.floats("attributes")[0, 0], found.known[0]) == (0.5, False)


def test_what_was_given_out_does_not_change(cache: ColumnCache, store: RecordingStore, clock: Clock) -> None:
    """A request in progress keeps its rows while another reads them again."""
    block = cache.rows(keys_of("a")).block
    put(store, a=9.0)
    clock.now_s += 6
    margins(cache, "a")
    assert block.floats("attributes")[0, 0] == 1.0


def test_during_an_outage_the_last_known_rows_serve(cache: ColumnCache, store: RecordingStore, clock: Clock) -> None:
    """With their age; rows never read have defaults; what is fresh enough needs no store."""
    margins(cache, "ab")
    store.failure = StoreUnavailable("away")
    assert cache.rows(keys_of("ab")).available
    clock.now_s += 6
    found = cache.rows(keys_of("abc"))
    assert not found.available
    assert found.block.floats("attributes")[:, 0].tolist() == [1.0, 2.0, 0.5]
    assert found.known.tolist() == [True, True, False]
    assert found.age_s.tolist() == [6, 6, 0]


def test_after_an_outage_rows_are_read_at_once(cache: ColumnCache, store: RecordingStore) -> None:
    """Those that were missing as well as those that had grown old."""
    store.failure = StoreUnavailable("away")
    cache.rows(keys_of("ab"))
    store.failure = None
    found = cache.rows(keys_of("ab"))
    assert found.available
    assert found.block.floats("attributes")[:, 0].tolist() == [1.0, 2.0]
    assert found.known.tolist() == [True, True]


def test_rows_of_another_schema_are_an_error_each_time(cache: ColumnCache, store: RecordingStore) -> None:
    """Nothing is remembered of them."""
    store.failure = StaleSchema("another")
    for _ in range(2):
        with pytest.raises(StaleSchema):
            cache.rows(keys_of("a"))
    store.failure = None
    assert margins(cache, "a") == [1.0]


def test_when_full_the_rows_read_longest_ago_leave(store: RecordingStore, clock: Clock) -> None:
    """What was read later stays and need not be read again."""
    cache = ColumnCache(store, VIEW, 3, AGE_S, clock)
    for item in "abcd":
        clock.now_s += 1
        margins(cache, [item])
    assert margins(cache, "bcd") == [2.0, 3.0, 0.5]
    assert store.reads == [["a"], ["b"], ["c"], ["d"]]
    assert margins(cache, "a") == [1.0]
    assert store.reads[-1] == ["a"]


def test_the_rows_that_leave_are_the_oldest_tenth(store: RecordingStore, clock: Clock) -> None:
    """In bulk, so that one request of many pays for it; the others are not read again."""
    cache = ColumnCache(store, VIEW, 50, AGE_S, clock)
    items = [f"item {number}" for number in range(50)]
    put(store, **{item: float(number) for number, item in enumerate(items)})
    for start in range(0, 50, 5):
        clock.now_s += 0.1
        margins(cache, items[start : start + 5])
    margins(cache, "a")
    assert margins(cache, items[5:]) == [float(number) for number in range(5, 50)]
    assert store.reads[-1] == ["a"]
    margins(cache, items[:5])
    assert store.reads[-1] == items[:5]


def test_what_a_request_needs_never_leaves_for_it(store: RecordingStore, clock: Clock) -> None:
    """Even if it was read before everything else."""
    cache = ColumnCache(store, VIEW, 3, AGE_S, clock)
    for item in "abc":
        clock.now_s += 1
        margins(cache, [item])
    assert margins(cache, "ax") == [1.0, 0.5]
    assert store.reads[-1] == ["x"]


def test_what_has_left_is_unknown_during_an_outage(store: RecordingStore, clock: Clock) -> None:
    """A slot that is used again shows nothing of the row before."""
    cache = ColumnCache(store, VIEW, 1, AGE_S, clock)
    margins(cache, "a")
    store.failure = StoreUnavailable("away")
    found = cache.rows(keys_of("b"))
    assert (found.block.floats("attributes")[0, 0], found.known[0], found.age_s[0]) == (0.5, False, 0)


def test_a_request_larger_than_the_bound_is_served(store: RecordingStore, clock: Clock) -> None:
    """The next one drives its rows out again."""
    cache = ColumnCache(store, VIEW, 2, AGE_S, clock)
    assert margins(cache, "abc") == [1.0, 2.0, 3.0]
    clock.now_s += 1
    assert margins(cache, "xyz") == [0.5, 0.5, 0.5]
    assert margins(cache, "cba") == [3.0, 2.0, 1.0]
    assert store.reads == [list("abc"), list("xyz"), list("cba")]


def test_growing_keeps_the_rows(store: RecordingStore, clock: Clock) -> None:
    """Memory is taken as keys come, and none is read again for it."""
    cache = ColumnCache(store, VIEW, 4 * FIRST_ROWS, AGE_S, clock)
    items = [f"item {number}" for number in range(3 * FIRST_ROWS)]
    put(store, **{item: float(number) for number, item in enumerate(items)})
    for start in range(0, len(items), 500):
        margins(cache, items[start : start + 500])
    reads = len(store.reads)
    assert margins(cache, items) == [float(number) for number in range(len(items))]
    assert len(store.reads) == reads


def test_any_sequence_of_requests_gets_the_rows_of_its_keys(store: RecordingStore, clock: Clock) -> None:
    """Small bounds, many keys, time that passes and outages: never another key's row."""
    random = np.random.default_rng(1)
    items = [f"item {number}" for number in range(60)]
    values = {item: float(number + 1) for number, item in enumerate(items)}
    put(store, **values)
    cache = ColumnCache(store, VIEW, 20, AGE_S, clock)
    for _ in range(300):
        clock.now_s += random.integers(0, 4)
        store.failure = StoreUnavailable("away") if random.random() < 0.2 else None
        wanted = random.choice(items, random.integers(1, 30), replace=False).tolist()
        found = cache.rows(keys_of(wanted))
        expected = [values[item] if known else 0.5 for item, known in zip(wanted, found.known, strict=True)]
        assert found.block.floats("attributes")[:, 0].tolist() == expected
        assert found.known.all() or store.failure


def test_features_of_variable_length_have_no_column() -> None:
    """Rows of users are refused, by name."""
    with pytest.raises(ValueError, match="view user has features of variable length"):
        ColumnCache(MemoryRowStore(), SCHEMA["user"], 10, AGE_S)
