"""The behaviour that every RowStore has: a suite that the tests of each implementation inherit."""

import numpy as np
import pytest

from services.features.config import FeatureConfig
from services.features.rows import Block, pack_rows
from services.features.schema import View, build_schema
from services.store.protocol import FencedWrite, Key, RowStore, existing_rows, read_block, read_rows
from tests.position_cases import POSITION_CASES, PositionCase

SCHEMA = build_schema(FeatureConfig())
VIEW = SCHEMA["item_scenario"]
DELETABLE = SCHEMA["user_scenario"]
"""A view whose rows every store can delete."""

KEY: Key = ("i", "s")
OTHER: Key = ("j", "s")


def block(*rows: tuple[tuple[int, int, int], float], view: View = VIEW) -> Block:
    """A row per position and value."""
    return pack_rows(view, [None] * len(rows)).with_columns(
        {
            "position": np.array([position for position, _ in rows], np.int64).reshape(-1, 3),
            time_of(view): np.array([value for _, value in rows]),
            "schema": np.full(len(rows), SCHEMA.fingerprint),
        }
    )


def time_of(view: View) -> str:
    """The feature that holds the values of `block`."""
    return "updated_s" if view is VIEW else "time_s"


def value_of(store: RowStore, key: Key = KEY, view: View = VIEW) -> float:
    """The value of a row that must exist."""
    (row,) = read_rows(store, view, [key])
    assert row is not None
    return float(row[time_of(view)])


class RowStoreSuite:
    """Inherit it and override the fixture `empty`."""

    @pytest.fixture
    def empty(self) -> RowStore:
        """A store without rows under KEY and OTHER."""
        raise NotImplementedError

    @pytest.fixture
    def store(self, empty: RowStore) -> RowStore:
        """A store with one row, in both views."""
        for view in (VIEW, DELETABLE):
            empty.write([KEY], block(((2, 1, 5), 50.0), view=view))
        return empty

    @pytest.mark.parametrize("position", [(2, 1, 4), (2, 1, 0), (1, 1, 9), (1, 0, 9)])
    def test_writes_at_older_positions_are_rejected(self, position: tuple[int, int, int], store: RowStore) -> None:
        """Of the same partition, or of an older topic epoch; the row is unchanged."""
        with pytest.raises(FencedWrite, match=r"1 (of 1 )?rows of view item_scenario hold newer positions"):
            store.write([KEY], block((position, 1.0)))
        assert 50.0 == value_of(store)

    @pytest.mark.parametrize("position", [(2, 1, 5), (2, 1, 6), (2, 0, 3), (3, 0, 0)])
    def test_writes_at_other_positions_are_stored(self, position: tuple[int, int, int], store: RowStore) -> None:
        """The same position again, later ones, and those of another partition or of a newer epoch."""
        store.write([KEY], block((position, 1.0)))
        assert 1.0 == value_of(store)

    @pytest.mark.parametrize("case", POSITION_CASES, ids=lambda case: f"{case.position} {case.stored}")
    def test_the_fence_agrees_with_the_table_of_positions(self, case: PositionCase, empty: RowStore) -> None:
        """For writes and for deletions."""
        stored, position = tuple(case.stored), tuple(case.position)
        for view in (VIEW, DELETABLE):
            empty.write([OTHER], block((stored, 1.0), view=view))
            assert case.fenced == _is_rejected(empty, view, position)
            assert (1.0 if case.fenced else 2.0) == value_of(empty, OTHER, view)
        empty.write([KEY], block((stored, 1.0), view=DELETABLE))
        if case.fenced:
            with pytest.raises(FencedWrite):
                empty.delete(DELETABLE, [KEY], position)
        else:
            empty.delete(DELETABLE, [KEY], position)
        assert [case.fenced] == [row is not None for row in read_rows(empty, DELETABLE, [KEY])]

    def test_a_rejected_row_does_not_block_the_others(self, store: RowStore) -> None:
        """Each row is fenced by its own position."""
        with pytest.raises(FencedWrite):
            store.write([KEY, OTHER], block(((2, 1, 4), 1.0), ((2, 1, 4), 2.0)))
        assert (50.0, 2.0) == (value_of(store), value_of(store, OTHER))

    def test_a_deleted_row_stays_fenced(self, store: RowStore) -> None:
        """By the position of the deletion; deleting a missing row is not an error and also fences it."""
        store.delete(DELETABLE, [KEY, OTHER], (2, 1, 7))
        for key in (KEY, OTHER):
            assert [None] == read_rows(store, DELETABLE, [key])
            with pytest.raises(FencedWrite):
                store.write([key], block(((2, 1, 6), 1.0), view=DELETABLE))
            store.write([key], block(((2, 1, 8), 1.0), view=DELETABLE))
            assert 1.0 == value_of(store, key, DELETABLE)

    def test_a_newer_row_is_not_deleted(self, store: RowStore) -> None:
        """A process that lost its partition cannot delete its successor's rows; older rows among them are deleted."""
        store.write([OTHER], block(((2, 1, 3), 1.0), view=DELETABLE))
        with pytest.raises(FencedWrite, match=r"1 (of 2 )?rows of view user_scenario hold newer positions"):
            store.delete(DELETABLE, [KEY, OTHER], (2, 1, 4))
        assert [True, False] == [row is not None for row in read_rows(store, DELETABLE, [KEY, OTHER])]

    def test_rows_come_in_the_order_of_the_keys(self, store: RowStore) -> None:
        """Also repeated ones, and None for a missing one."""
        rows = read_rows(store, VIEW, [("x", "s"), KEY, KEY])
        assert [True, False, False] == [row is None for row in rows]

    def test_several_views_are_read_in_one_call(self, store: RowStore) -> None:
        """A block per request, in their order; a request without keys gets an empty block."""
        item = SCHEMA["item"]
        requests = [(DELETABLE, [KEY, OTHER]), (item, []), (VIEW, [OTHER, KEY]), (item, [("nothing",)])]
        blocks = store.read_blocks(requests)
        assert [view.name for view, _ in requests] == [found.view.name for found in blocks]
        assert [2, 0, 2, 1] == [found.size for found in blocks]
        assert [[True, False], [], [False, True], [False]] == [existing_rows(found).tolist() for found in blocks]

    def test_a_missing_row_holds_defaults(self, store: RowStore) -> None:
        """Its schema is 0, which marks it as missing."""
        assert [50.0, 0.0] == read_block(store, VIEW, [KEY, OTHER]).floats("updated_s").tolist()
        assert [SCHEMA.fingerprint, 0] == read_block(store, VIEW, [KEY, OTHER]).ints("schema").tolist()

    def test_nothing_is_written_deleted_or_read_without_keys(self, store: RowStore) -> None:
        """Empty calls are not errors."""
        store.write([], block())
        store.delete(DELETABLE, [], (9, 9, 9))
        assert [] == store.read_blocks([])
        assert [] == read_rows(store, VIEW, [])


def _is_rejected(store: RowStore, view: View, position: tuple[int, ...]) -> bool:
    """Whether a write of a row with the value 2 is rejected."""
    try:
        store.write([OTHER], block((position, 2.0), view=view))  # type: ignore[arg-type]
    except FencedWrite:
        return True
    return False
