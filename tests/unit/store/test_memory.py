"""The stores in memory, by row and by column, whose fence is the real store's."""

import numpy as np
import pytest

from services.features.config import FeatureConfig
from services.features.rows import Block, pack_rows
from services.features.schema import build_schema
from services.store.columns import ColumnRowStore
from services.store.memory import MemoryRowStore
from services.store.protocol import FencedWrite, Key, RowStore

SCHEMA = build_schema(FeatureConfig())
VIEW = SCHEMA["item_scenario"]
KEY: Key = ("i", "s")


def block(*rows: tuple[tuple[int, int, int], float]) -> Block:
    """A row per position and value."""
    empty = pack_rows(VIEW, [None] * len(rows))
    columns = {
        "position": np.array([position for position, _ in rows], np.int64),
        "updated_s": np.array([value for _, value in rows]),
    }
    return empty.with_columns(columns)


def value_of(store: RowStore, key: Key = KEY) -> float:
    (row,) = store.read(VIEW, [key])
    assert row is not None
    return float(row["updated_s"])


@pytest.fixture(params=[MemoryRowStore, lambda: ColumnRowStore(SCHEMA)], ids=["rows", "columns"])
def store(request: pytest.FixtureRequest) -> RowStore:
    store: RowStore = request.param()
    store.write([KEY], block(((2, 1, 5), 50.0)))
    return store


@pytest.mark.parametrize("position", [(2, 1, 4), (2, 1, 0), (1, 1, 9), (1, 0, 9)])
def test_older_positions_are_refused(position: tuple[int, int, int], store: RowStore) -> None:
    """Of the same partition, or of an older topic epoch; the row stays as it is."""
    with pytest.raises(FencedWrite, match="1 rows of view item_scenario hold newer positions"):
        store.write([KEY], block((position, 1.0)))
    assert 50.0 == value_of(store)


@pytest.mark.parametrize("position", [(2, 1, 5), (2, 1, 6), (2, 0, 3), (3, 0, 0)])
def test_other_positions_are_written(position: tuple[int, int, int], store: RowStore) -> None:
    """The same one again, later ones, those of another partition or of a newer epoch."""
    store.write([KEY], block((position, 1.0)))
    assert 1.0 == value_of(store)


def test_a_refused_row_does_not_hold_up_the_others(store: RowStore) -> None:
    """As in the real store, where every row is fenced on its own."""
    with pytest.raises(FencedWrite):
        store.write([KEY, ("j", "s")], block(((2, 1, 4), 1.0), ((2, 1, 4), 2.0)))
    assert (50.0, 2.0) == (value_of(store), value_of(store, ("j", "s")))


def test_a_deleted_row_stays_fenced() -> None:
    """By the position of what deleted it; deleting what is not there is fine and fences it too."""
    store = MemoryRowStore()
    store.write([KEY], block(((2, 1, 5), 50.0)))
    store.delete(VIEW, [KEY, ("nobody", "s")], (2, 1, 7))
    for key in (KEY, ("nobody", "s")):
        assert [None] == store.read(VIEW, [key])
        with pytest.raises(FencedWrite):
            store.write([key], block(((2, 1, 6), 1.0)))
        store.write([key], block(((2, 1, 8), 1.0)))
        assert 1.0 == value_of(store, key)


def test_a_newer_row_is_not_deleted() -> None:
    """Whoever lost its partition cannot delete what the new owner wrote; older rows among them go."""
    store = MemoryRowStore()
    store.write([KEY, ("old", "s")], block(((2, 1, 5), 50.0), ((2, 1, 3), 1.0)))
    with pytest.raises(FencedWrite, match="1 rows of view item_scenario hold newer positions"):
        store.delete(VIEW, [KEY, ("old", "s")], (2, 1, 4))
    assert [True, False] == [row is not None for row in store.read(VIEW, [KEY, ("old", "s")])]


def test_rows_come_in_the_order_of_the_keys(store: RowStore) -> None:
    """Also repeated ones, and none where there is none."""
    rows = store.read(VIEW, [("x", "s"), KEY, KEY])
    assert [True, False, False] == [row is None for row in rows]


def test_columns_grow_and_give_defaults_for_what_is_missing() -> None:
    """More rows than there was room for at the start; one never written reads as defaults."""
    store = ColumnRowStore(SCHEMA)
    keys: list[Key] = [(f"i{n}", "s") for n in range(3000)]
    store.write(keys, block(*(((1, 0, n), float(n)) for n in range(3000))))
    assert [2999.0, 0.0] == store.read_block(VIEW, [keys[2999], ("none", "s")]).floats("updated_s").tolist()
    assert [True, False] == [row is not None for row in store.read(VIEW, [keys[8], ("none", "s")])]
    assert 3000 == len(store.keys(VIEW))
    with pytest.raises(TypeError, match="rows of view item_scenario are not removed"):
        store.delete(VIEW, [keys[7]], (9, 0, 0))
