"""The cache of item rows."""

from collections.abc import Sequence

import numpy as np
import pytest

from services.features.config import FeatureConfig
from services.features.rows import Block, pack_rows
from services.features.schema import View, build_schema
from services.store.cached_item_rows import CachedItemRowStore
from services.store.memory import MemoryRowStore
from services.store.protocol import Key, ReadRequest, StoreUnavailable, read_block, read_rows

SCHEMA = build_schema(FeatureConfig())
ITEM, USER = SCHEMA["item"], SCHEMA["user"]
AGE_S = 5.0


class CountedStore(MemoryRowStore):
    """Records the keys that are read; raises StoreUnavailable while `unavailable`."""

    def __init__(self) -> None:
        super().__init__()
        self.keys_read: list[Key] = []
        self.unavailable = False

    def read_blocks(self, requests: Sequence[ReadRequest]) -> list[Block]:
        if self.unavailable:
            raise StoreUnavailable("away")
        self.keys_read += [key for _, keys in requests for key in keys]
        return super().read_blocks(requests)


class Clock:
    """A clock that tests set."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def store() -> CountedStore:
    store = CountedStore()
    put(store, "a", "b")
    return store


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def cached(store: CountedStore, clock: Clock) -> CachedItemRowStore:
    return CachedItemRowStore(store, 10, AGE_S, clock)


def put(store: MemoryRowStore | CachedItemRowStore, *items: str, price: float = 1.0, view: View = ITEM) -> None:
    written = {"schema": np.full(len(items), SCHEMA.fingerprint)}
    if view is ITEM:
        written["price"] = np.full(len(items), price)
    store.write([(item,) for item in items], pack_rows(view, [None] * len(items)).with_columns(written))


def prices(cached: CachedItemRowStore, *items: str) -> list[float | None]:
    block = read_block(cached, ITEM, [(item,) for item in items])
    return [
        price if schema else None for price, schema in zip(block.floats("price"), block.ints("schema"), strict=True)
    ]


def test_an_item_is_read_once_while_it_is_fresh(cached: CachedItemRowStore, store: CountedStore, clock: Clock) -> None:
    """Rows come in the order of the keys, repeated ones too; only unknown items are read."""
    put(store, "c", price=3.0)
    assert [1.0, 1.0, 1.0] == prices(cached, "b", "a", "b")
    clock.now_s += AGE_S - 0.1
    assert [1.0, 3.0] == prices(cached, "a", "c")
    assert [("b",), ("a",), ("c",)] == store.keys_read


def test_a_stale_item_is_read_again(cached: CachedItemRowStore, store: CountedStore, clock: Clock) -> None:
    """Changes by another process are visible then, and not before."""
    prices(cached, "a")
    put(store, "a", price=2.0)
    assert [1.0] == prices(cached, "a")
    clock.now_s += AGE_S
    assert [2.0] == prices(cached, "a")
    assert [("a",)] * 2 == store.keys_read


def test_unknown_items_are_read_every_time(cached: CachedItemRowStore, store: CountedStore) -> None:
    """Their rows may be written at any time."""
    assert [None] == prices(cached, "new")
    put(store, "new", price=4.0)
    assert [4.0] == prices(cached, "new")


def test_written_and_deleted_items_are_removed_from_the_cache(cached: CachedItemRowStore) -> None:
    """The next read returns the stored row."""
    prices(cached, "a", "b")
    put(cached, "a", price=7.0)
    cached.delete(ITEM, [("b",)], (9, 0, 0))
    assert [7.0, None] == prices(cached, "a", "b")


def test_rows_of_other_views_are_never_cached(cached: CachedItemRowStore, store: CountedStore) -> None:
    """Their only writer must read the stored rows; keys of users and of items are not confused."""
    prices(cached, "a")
    for _ in range(2):
        assert [None] == read_rows(cached, USER, [("a",)])
    put(cached, "a", view=USER)
    assert [False] == [row is None for row in read_rows(cached, USER, [("a",)])]
    cached.delete(USER, [("a",)], (9, 0, 0))
    assert [None] == read_rows(cached, USER, [("a",)])
    assert [1.0] == prices(cached, "a")
    assert [("a",)] * 5 == store.keys_read


def test_the_older_half_is_evicted_beyond_the_size(cached: CachedItemRowStore, store: CountedStore) -> None:
    """A batch larger than the bound is still returned, and memory stays bounded."""
    many = [f"m{number}" for number in range(25)]
    put(store, *many)
    prices(cached, "a")
    assert [1.0] * 25 == prices(cached, *many)
    store.keys_read.clear()
    assert [1.0, 1.0] == prices(cached, "m24", "a")
    assert [("a",)] == store.keys_read
    for number in range(0, 25, 5):
        prices(cached, *many[number : number + 5])
        assert cached._items is not None
        assert len(cached._items) <= 10


def test_an_outage_is_neither_hidden_nor_cached(cached: CachedItemRowStore, store: CountedStore, clock: Clock) -> None:
    """Fresh rows are returned without the store; reads of others fail until it is available."""
    prices(cached, "a")
    store.unavailable = True
    assert [1.0] == prices(cached, "a")
    clock.now_s += AGE_S
    with pytest.raises(StoreUnavailable):
        prices(cached, "a")
    store.unavailable = False
    assert [1.0] == prices(cached, "a")


def test_with_a_maximum_age_of_zero_every_read_goes_to_the_store(store: CountedStore, clock: Clock) -> None:
    """And returns the rows just read."""
    cached = CachedItemRowStore(store, 10, 0.0, clock)
    for _ in range(2):
        assert (read_block(cached, ITEM, [("a",), ("nobody",)]).ints("schema") != 0).tolist() == [True, False]
    assert [("a",), ("nobody",)] * 2 == store.keys_read
    store.delete(ITEM, [("a",)], (9, 0, 0))
    assert not read_block(cached, ITEM, [("a",)]).ints("schema").any()
