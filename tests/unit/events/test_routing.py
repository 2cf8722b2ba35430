"""Topic and key of entries."""

import pytest

from crossrec.events.v1.events_pb2 import (
    BehaviorEvent,
    Entry,
    ItemScenarioUpdate,
    ItemUpdate,
    ScenarioUpdate,
    UserErasure,
    UserUpdate,
)
from services.events.routing import KEY_SEPARATOR, EntryRoute, route_entry, topic_name
from services.events.validation import find_violation
from services.features.config import FeatureConfig


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        (
            Entry(behavior_event=BehaviorEvent(user_id="ü", item_id="i")),
            EntryRoute("behavior", b"\xc3\xbc", b"\xc3\xbc"),
        ),
        (Entry(user_erasure=UserErasure(user_id="u")), EntryRoute("behavior", b"u", b"u")),
        (Entry(user_update=UserUpdate(user_id="u")), EntryRoute("behavior", b"u", b"u")),
        (Entry(item_update=ItemUpdate(item_id="i")), EntryRoute("items", b"i", b"i")),
        (
            Entry(item_scenario_update=ItemScenarioUpdate(item_id="i", scenario_id="tv")),
            EntryRoute("items", b"i\x1ftv", b"i"),
        ),
        (Entry(scenario_update=ScenarioUpdate(scenario_id="tv")), EntryRoute("scenarios", b"tv", b"tv")),
    ],
    ids=lambda value: value.WhichOneof("entry") if isinstance(value, Entry) else "",
)
def test_every_kind_has_its_topic_and_key(entry: Entry, expected: EntryRoute) -> None:
    """Records of one user, or of one item with its scenarios, share the partition key."""
    assert expected == route_entry(entry)


def test_an_entry_without_kind_has_no_route() -> None:
    """Only valid entries are routed."""
    with pytest.raises(ValueError, match="no route"):
        route_entry(Entry())


def test_topics_are_named_by_prefix_and_suffix() -> None:
    """Deployments that share a Kafka cluster differ by prefix."""
    assert topic_name("shop", "items") == "shop.items"


def test_keys_of_valid_entries_do_not_collide() -> None:
    """An item `f1<US>tv` would have the key of item f1 in scenario tv: no id holds the separator."""
    pair = Entry(item_scenario_update=ItemScenarioUpdate(item_id="f1", scenario_id="tv", event_id="e"))
    item = Entry(item_update=ItemUpdate(item_id=f"f1{KEY_SEPARATOR}tv", event_id="e"))
    assert route_entry(pair).key == route_entry(item).key
    for entry in (pair, item):
        getattr(entry, entry.WhichOneof("entry") or "").time.seconds = 1_700_000_000
    assert find_violation(pair, FeatureConfig(), 1_700_000_000.0, 300.0) is None
    found = find_violation(item, FeatureConfig(), 1_700_000_000.0, 300.0)
    assert found is not None
    assert ("item_update.item_id", True) == (found.field, "U+001F" in found.reason)


def test_keys_of_categories_do_not_collide() -> None:
    """A category `tea<US>green` would have the key of the path tea, green."""
    update = ItemUpdate(item_id="a", event_id="e", categories=[f"tea{KEY_SEPARATOR}green"])
    update.time.seconds = 1_700_000_000
    found = find_violation(Entry(item_update=update), FeatureConfig(), 1_700_000_000.0, 300.0)
    assert found is not None
    assert ("item_update.categories[0]", "holds the separator of keys, U+001F") == (found.field, found.reason)
