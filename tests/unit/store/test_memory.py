"""The in-memory stores, and the stores that wrap another one, tested by the suite of every RowStore."""

import numpy as np
import pytest

from services.features.rows import pack_rows
from services.store.cached_item_rows import CachedItemRowStore
from services.store.circuit_breaker import CircuitBreaker, CircuitState
from services.store.columns import ColumnRowStore
from services.store.memory import MemoryRowStore
from services.store.metered_rows import MeteredRowStore
from services.store.protocol import Key, RowStore, read_block, read_rows
from tests.unit.store.row_store_suite import SCHEMA, VIEW, RowStoreSuite, block


class TestMemoryRowStore(RowStoreSuite):
    """Stores rows one by one."""

    @pytest.fixture
    def empty(self) -> RowStore:
        return MemoryRowStore()


class TestColumnRowStore(RowStoreSuite):
    """Stores columns where all features have fixed lengths."""

    @pytest.fixture
    def empty(self) -> RowStore:
        return ColumnRowStore(SCHEMA)


class TestCachedItemRowStore(RowStoreSuite):
    """Caches item rows."""

    @pytest.fixture
    def empty(self) -> RowStore:
        return CachedItemRowStore(MemoryRowStore(), 10, 60.0)


class TestMeteredRowStore(RowStoreSuite):
    """Reports every call."""

    @pytest.fixture
    def empty(self) -> RowStore:
        return MeteredRowStore(MemoryRowStore(), lambda *_: None)


class TestCircuitBreaker(RowStoreSuite):
    """With a closed circuit."""

    @pytest.fixture
    def empty(self) -> RowStore:
        return CircuitBreaker(MemoryRowStore(), CircuitState(1.0))


def test_columns_grow_and_give_defaults_for_what_is_missing() -> None:
    """More rows than the initial capacity; a row that was never written is read as defaults."""
    store = ColumnRowStore(SCHEMA)
    keys: list[Key] = [(f"i{n}", "s") for n in range(3000)]
    store.write(keys, block(*(((1, 0, n), float(n)) for n in range(3000))))
    assert [2999.0, 0.0] == read_block(store, VIEW, [keys[2999], ("none", "s")]).floats("updated_s").tolist()
    assert [True, False] == [row is not None for row in read_rows(store, VIEW, [keys[8], ("none", "s")])]
    assert 3000 == len(list(store.ids(VIEW)))
    with pytest.raises(TypeError, match="rows of view item_scenario are not removed"):
        store.delete(VIEW, [keys[7]], (9, 0, 0))


def test_strings_of_rows_stay_objects() -> None:
    """Also when rows are read one by one."""
    store, view = MemoryRowStore(), SCHEMA["item"]
    written = {"title": np.array(["чай"], object), "schema": np.array([SCHEMA.fingerprint])}
    store.write([("i",)], pack_rows(view, [None]).with_columns(written))
    (row,) = read_rows(store, view, [("i",)])
    assert row is not None
    assert (np.dtype(object), "чай") == (row["title"].dtype, row["title"].item())
