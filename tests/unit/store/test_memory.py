"""The store in memory, whose fence is the real store's."""

import numpy as np
import pytest

from services.features.config import FeatureConfig
from services.features.rows import Block, pack
from services.features.schema import build_schema
from services.store.memory import MemoryRowStore
from services.store.protocol import FencedWrite, Key

VIEW = build_schema(FeatureConfig())["item_scenario"]
KEY: Key = ("i", "s")


def block(*rows: tuple[tuple[int, int, int], float]) -> Block:
    """A row per position and value."""
    empty = pack(VIEW, [None] * len(rows))
    columns = {
        "position": np.array([position for position, _ in rows], np.int64),
        "updated_s": np.array([value for _, value in rows]),
    }
    return empty.with_columns(columns)


def value_of(store: MemoryRowStore, key: Key = KEY) -> float:
    return float(store.rows["item_scenario"][key]["updated_s"])


@pytest.fixture
def store() -> MemoryRowStore:
    store = MemoryRowStore()
    store.write([KEY], block(((2, 1, 5), 50.0)))
    return store


@pytest.mark.parametrize("position", [(2, 1, 4), (2, 1, 0), (1, 1, 9), (1, 0, 9)])
def test_older_positions_are_refused(position: tuple[int, int, int], store: MemoryRowStore) -> None:
    """Of the same partition, or of an older topic epoch; the row stays as it is."""
    with pytest.raises(FencedWrite, match="1 rows of view item_scenario hold newer positions"):
        store.write([KEY], block((position, 1.0)))
    assert 50.0 == value_of(store)


@pytest.mark.parametrize("position", [(2, 1, 5), (2, 1, 6), (2, 0, 3), (3, 0, 0)])
def test_other_positions_are_written(position: tuple[int, int, int], store: MemoryRowStore) -> None:
    """The same one again, later ones, those of another partition or of a newer epoch."""
    store.write([KEY], block((position, 1.0)))
    assert 1.0 == value_of(store)


def test_a_refused_row_does_not_hold_up_the_others(store: MemoryRowStore) -> None:
    """As in the real store, where every row is fenced on its own."""
    with pytest.raises(FencedWrite):
        store.write([KEY, ("j", "s")], block(((2, 1, 4), 1.0), ((2, 1, 4), 2.0)))
    assert (50.0, 2.0) == (value_of(store), value_of(store, ("j", "s")))


def test_a_deleted_row_can_be_written_from_any_position(store: MemoryRowStore) -> None:
    """Deleting what is not there is fine."""
    store.delete(VIEW, [KEY, ("nobody", "s")])
    assert [None] == store.read(VIEW, [KEY])
    store.write([KEY], block(((2, 1, 0), 1.0)))
    assert 1.0 == value_of(store)


def test_rows_come_in_the_order_of_the_keys(store: MemoryRowStore) -> None:
    """Also repeated ones, and none where there is none."""
    rows = store.read(VIEW, [("x", "s"), KEY, KEY])
    assert [True, False, False] == [row is None for row in rows]
