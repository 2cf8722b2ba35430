"""The export of what is stored of a user."""

import json

import pytest

from services.features.hashing import key64
from services.store.folding import erase_user, index_scenarios
from services.store.memory import MemoryRowStore
from services.users.export import export_user
from tests.unit.consumers.streams import (
    SCHEMA,
    START_S,
    behavior_event,
    fold_behavior,
    fold_catalogue,
    item_update,
    user_update,
)

ITEMS = ["i1", "i2", "i3"]


@pytest.fixture
def store() -> MemoryRowStore:
    store = MemoryRowStore()
    fold_catalogue(store, [item_update(1), item_update(3)])
    fold_behavior(
        store,
        [
            behavior_event(1, item_id="i1", type="EVENT_TYPE_PURCHASE", value=2.0),
            behavior_event(2, item_id="i2", scenario_id="s1"),
            behavior_event(3, item_id="i3", user_id="u1"),
        ],
    )
    return store


def test_rows_are_shown_by_view_and_feature(store: MemoryRowStore) -> None:
    """Counts are by event type, tables are entries, bookkeeping is included; all is valid JSON."""
    found = export_user(store, SCHEMA, "u0", ITEMS)
    assert found == json.loads(json.dumps(found, allow_nan=False))
    (user,) = found["views"]["user"]
    assert (True, None, "u0") == (found["found"], found["erased"], user["user_id"])
    assert ["s0", "s1"] == [row["scenario_id"] for row in found["views"]["user_scenario"]]
    assert {"position", "schema", "language", "encoder", "event_ids", "scenario_ids"} <= set(user)
    assert 3 == len(user["counts"]["purchase"]) == len(found["half_lives_s"])
    assert [1.0, pytest.approx(1.0, abs=1e-3)] == [user["counts"]["click"][2], user["counts"]["purchase"][2]]


def test_times_are_iso(store: MemoryRowStore) -> None:
    """UTC; null for what never happened."""
    (user,) = export_user(store, SCHEMA, "u0", ITEMS)["views"]["user"]
    assert "2023-11-14T22:13:22+00:00" == user["time_s"]
    first = next(entry for entry in user["item"] if entry["key"] == key64("i1"))
    assert "2023-11-14T22:13:21+00:00" == first["first"] == first["newest"]


def test_items_are_named_where_their_rows_are_known(store: MemoryRowStore) -> None:
    """Keys are not changed; facets have keys only."""
    (user,) = export_user(store, SCHEMA, "u0", ITEMS)["views"]["user"]
    by_key = {entry["key"]: entry for entry in user["item"]}
    assert {key64("i1"), key64("i2")} == set(by_key)
    assert ("i1", "tea tea") == (by_key[key64("i1")]["item_id"], by_key[key64("i1")]["title"])
    assert ("i2", "") == (by_key[key64("i2")]["item_id"], by_key[key64("i2")]["title"])
    assert "item_id" not in export_user(store, SCHEMA, "u0", [])["views"]["user"][0]["item"][0]
    assert all({"key", "first", "newest", "values"} == set(entry) for entry in user["facet"])


def test_items_with_an_opinion_alone_are_named_too() -> None:
    """A dislike is no engagement: its item is in the table of opinions only."""
    store = MemoryRowStore()
    fold_catalogue(store, [item_update(1)])
    fold_behavior(store, [behavior_event(1, item_id="i1", type="EVENT_TYPE_RATING", value=2.0)])
    (user,) = export_user(store, SCHEMA, "u0", ITEMS)["views"]["user"]
    (entry,) = user["opinion_item"]
    assert not user["item"]
    assert (key64("i1"), "i1", "tea tea") == (entry["key"], entry["item_id"], entry["title"])


def test_a_user_without_rows_has_empty_views(store: MemoryRowStore) -> None:
    """Both an unknown user and an erased one, whose export has the time of the erasure."""
    nothing = {"user": [], "user_scenario": []}
    never = export_user(store, SCHEMA, "nobody", ITEMS)
    assert (False, None, nothing) == (never["found"], never["erased"], never["views"])
    erase_user(store, SCHEMA, "u0", START_S + 9, (0, 0, 9))
    erased = export_user(store, SCHEMA, "u0", ITEMS)
    assert (False, "2023-11-14T22:13:29+00:00", nothing) == (erased["found"], erased["erased"], erased["views"])


def test_rows_that_a_crash_left_unlisted_are_found(store: MemoryRowStore) -> None:
    """A row per scenario is written before the user's row lists it."""
    index_scenarios(store, SCHEMA, ["s0", "s1"], (1, 0, 0))
    del store.rows["user"][("u0",)]
    views = export_user(store, SCHEMA, "u0", ITEMS)["views"]
    assert [0, 2] == [len(views["user"]), len(views["user_scenario"])]


def test_rows_under_all_pseudonyms_are_exported_without_the_pseudonyms(store: MemoryRowStore) -> None:
    """Rows under current and previous pseudonyms are merged under the user id; the latest erasure counts."""
    erase_user(store, SCHEMA, "u9", START_S + 9, (0, 0, 9))
    found = export_user(store, SCHEMA, "ann", ITEMS, ["u1", "u0", "u9"])
    views = found["views"]
    assert ("ann", True, "2023-11-14T22:13:29+00:00") == (found["user_id"], found["found"], found["erased"])
    assert [2, 3] == [len(views["user"]), len(views["user_scenario"])]
    assert {"ann"} == {row["user_id"] for rows in views.values() for row in rows}
    assert not {'"u0"', '"u1"', '"u9"'} & set(json.dumps(found).replace(",", " ").split())


def test_attributes_are_shown_by_name() -> None:
    """Categories as texts where a vocabulary has them, else as keys; users without events have them, too."""
    store = MemoryRowStore()
    fold_behavior(store, [], users=[user_update(0, START_S, 24.0, "student"), user_update(1, START_S, 5.0, "pilot")])
    (known,), (other,) = (export_user(store, SCHEMA, user, [])["views"]["user"] for user in ("u0", "u1"))
    assert ({"age": 24.0}, {"job": ["student"]}) == (known["attributes"], known["category_keys"])
    assert ({"job": [key64("pilot")]}, "2023-11-14T22:13:20+00:00") == (other["category_keys"], other["profile_s"])
