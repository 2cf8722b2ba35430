"""Folding updates into rows of items and scenarios."""

import numpy as np

from services.features import catalogue
from services.features.catalogue import ItemState, ScenarioState
from services.features.hashing import NO_KEY, facet_keys
from services.features.rows import Row, pack_rows
from services.features.schema import Schema

VECTOR = np.array([1.0, 0.0, 0.0, 0.0])


def fold(schema: Schema, row: Row | None, state: ItemState | None, offset: int) -> Row | None:
    return catalogue.fold(schema, schema["item"], row, state, (1, 0, offset), VECTOR, 7)


def test_item_row_holds_the_update(schema: Schema) -> None:
    """Text, facets, price and declared attributes; absent attributes take their default."""
    state = ItemState(10.0, "tea", "loose leaf", ("drinks", "hot"), "acme", 3.5, {"other": 1.0})
    row = fold(schema, None, state, 0)
    assert row is not None
    assert "tea" == row["title"].item()
    assert 3.5 == row["price"]
    assert [1.0] == row["attributes"].tolist()
    assert (7, 10.0, 10.0) == (row["encoder"], row["updated_s"], row["created_s"])
    assert facet_keys(("drinks", "hot"), "acme", 2).tolist() == row["facet_keys"].tolist()
    assert "tea. loose leaf. drinks, hot" == state.text


def test_the_newest_time_wins_in_any_order(schema: Schema) -> None:
    """An older update that arrives late changes only the time of creation."""
    new, old = ItemState(20.0, "new"), ItemState(5.0, "old")
    row = fold(schema, fold(schema, None, new, 0), old, 1)
    other = fold(schema, fold(schema, None, old, 0), new, 1)
    assert row is not None
    assert other is not None
    assert "new" == row["title"].item() == other["title"].item()
    assert 5.0 == row["created_s"] == other["created_s"]
    assert 20.0 == row["updated_s"] == other["updated_s"]


def test_update_at_or_below_the_position_is_skipped(schema: Schema) -> None:
    """A repeated record produces no row to write."""
    row = fold(schema, None, ItemState(1.0, "a"), 3)
    assert fold(schema, row, ItemState(9.0, "b"), 3) is None


def test_tombstone_resets_but_keeps_the_position(schema: Schema) -> None:
    """After a deletion the row holds defaults, and an older record does not restore the item."""
    row = fold(schema, fold(schema, None, ItemState(1.0, "a", price=2.0), 3), None, 4)
    assert row is not None
    assert ("", -1.0, 4) == (row["title"].item(), row["price"], row["position"][2])
    assert fold(schema, row, ItemState(1.0, "a"), 3) is None


def test_scenario_row(schema: Schema) -> None:
    """A scenario keeps its name and the vector of its text."""
    state = ScenarioState(1.0, "TV", "living room")
    row = catalogue.fold(schema, schema["scenario"], None, state, (1, 0, 0), VECTOR, 7)
    assert row is not None
    assert "TV" == row["name"].item()
    assert VECTOR.tolist() == row["text_vector"].tolist()


def test_item_scenario_states(schema: Schema) -> None:
    """The newest time wins; of equal times the later record; NaN takes the time of the value it replaces."""
    block = pack_rows(schema["item_scenario"], [None, None])
    row = np.array([0, 1, 0, 0])
    time_s = np.array([5.0, 1.0, 3.0, 5.0])
    attributes = np.array([[1.0], [2.0], [3.0], [4.0]])
    position = np.array([[1, 0, n] for n in range(4)])
    block = catalogue.fold_item_scenarios(schema, block, row, time_s, attributes, position)
    assert [4.0, 2.0] == block.floats("attributes")[:, 0].tolist()
    gone = catalogue.fold_item_scenarios(
        schema, block, np.array([0]), np.array([np.nan]), np.array([[0.0]]), np.array([[1, 0, 9]])
    )
    assert (0.0, 5.0) == (gone.floats("attributes")[0, 0], gone.floats("updated_s")[0])


def test_categories_of_one_name_below_different_parents_differ() -> None:
    """A facet's key covers its path; missing levels have none."""
    one, other = facet_keys(("food", "dry"), "", 2), facet_keys(("paint", "dry"), "", 2)
    assert one[1] != other[1]
    assert NO_KEY == one[2]
    assert [NO_KEY] * 3 == facet_keys((), "", 2).tolist()
