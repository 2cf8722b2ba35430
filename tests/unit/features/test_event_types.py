"""The table of event types and the protobuf enum."""

from crossrec.events.v1.events_pb2 import EventType
from services.features.config import FeatureConfig
from services.features.event_types import ENGAGEMENT_TYPES, EVENT_TYPE_OF_NUMBER, EVENT_TYPES, select_event_types


def test_the_table_matches_the_protobuf_enum() -> None:
    """Same names in the same order: a type's index in count arrays is its enum number minus 1."""
    numbers = {number: f"EVENT_TYPE_{event_type.name.upper()}" for number, event_type in EVENT_TYPE_OF_NUMBER.items()}
    assert {number: name for name, number in EventType.items() if number} == numbers


def test_default_engagement_is_that_of_the_table() -> None:
    """Impressions and queries are not engagement."""
    assert set(ENGAGEMENT_TYPES) == set(FeatureConfig().engagement)
    assert {"impression", "query"} <= set(EVENT_TYPES) - set(ENGAGEMENT_TYPES)


def test_types_are_selected_by_their_required_fields() -> None:
    """In the order of the table; several conditions are combined with and."""
    assert ("query",) == select_event_types(needs_item=False)
    assert ("query", "comment") == select_event_types(needs_text=True)
    assert ("comment",) == select_event_types(needs_text=True, needs_item=True)
