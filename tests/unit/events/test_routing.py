"""Topic and key of entries."""

import pytest

from crossrec.events.v1.events_pb2 import (
    BehaviorEvent,
    Entry,
    ItemScenarioUpdate,
    ItemUpdate,
    ScenarioUpdate,
    UserErasure,
)
from services.events.routing import EntryRoute, route_entry, topic_name


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        (
            Entry(behavior_event=BehaviorEvent(user_id="ü", item_id="i")),
            EntryRoute("behavior", b"\xc3\xbc", b"\xc3\xbc"),
        ),
        (Entry(user_erasure=UserErasure(user_id="u")), EntryRoute("behavior", b"u", b"u")),
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
