"""Names and popularity from rows."""

import numpy as np
import pytest

from services.console.catalogue import Catalogue, KnownNames
from services.store.folding import fold_states
from services.store.protocol import StoreUnavailable
from tests.contract.rank_server import NOW_S, SCHEMA, SwitchedStore, filled_store


@pytest.fixture
def store() -> SwitchedStore:
    return filled_store()


def test_items_scenarios_and_users_are_those_of_the_store(store: SwitchedStore) -> None:
    """Items come the most engaged with first: five clicks on tea, one on milk, none on dust."""
    known = Catalogue(store, SCHEMA).current()
    assert ["tea", "milk", "dust"] == list(known.items)
    assert ["shelf", "tv"] == list(known.scenarios)
    assert ["ann", "bob"] == list(known.users)
    assert NOW_S - 30 == known.newest_s
    assert not known.sampled


def test_names_are_read_again_only_after_their_maximum_age(store: SwitchedStore) -> None:
    now = [0.0]
    catalogue = Catalogue(store, SCHEMA, age_s=60, clock=lambda: now[0])
    first = catalogue.current()
    now[0] = 60.0
    assert catalogue.current() is first
    now[0] = 61.0
    assert catalogue.current() is not first


def test_an_item_without_a_title_has_its_id(store: SwitchedStore) -> None:
    """So has an item that the store does not know."""
    store.rows["item"]["milk",]["title"] = np.array("Whole milk", object)
    titles = Catalogue(store, SCHEMA).titles(["milk", "tea", "unknown"])
    assert {"milk": "Whole milk", "tea": "tea", "unknown": "unknown"} == titles


def test_an_unavailable_store_is_an_error(store: SwitchedStore) -> None:
    store.failure = StoreUnavailable("online store: away")
    with pytest.raises(StoreUnavailable, match="away"):
        Catalogue(store, SCHEMA).current()


def test_an_empty_store_is_an_empty_catalogue() -> None:
    assert KnownNames() == Catalogue(SwitchedStore(), SCHEMA).current()


def test_events_of_more_than_a_week_ago_are_past() -> None:
    assert KnownNames(newest_s=NOW_S - 8 * 86_400).is_past(NOW_S)
    assert not KnownNames(newest_s=NOW_S - 60).is_past(NOW_S)
    assert not KnownNames().is_past(NOW_S)


def test_a_deleted_item_is_not_offered(store: SwitchedStore) -> None:
    """Its row remains, with defaults."""
    before = Catalogue(store, SCHEMA).current()
    fold_states(
        store, SCHEMA, SCHEMA["item"], [("milk",)], [None], [(9, 0, 0)], np.zeros((1, SCHEMA.config.text_dims)), 0
    )
    after = Catalogue(store, SCHEMA).current()
    assert {"milk"} == set(before.items) - set(after.items)
