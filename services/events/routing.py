"""Routing of entries: topic, record key and partition key.

Knows no partition numbers: they depend on the topic, which only the Kafka client knows.
"""

from dataclasses import dataclass

from crossrec.events.v1.events_pb2 import Entry
from services.features.ids import SEPARATOR

BEHAVIOR, ITEMS, SCENARIOS = "behavior", "items", "scenarios"
"""Topic suffixes; a topic is named `<prefix>.<suffix>`."""

KEY_SEPARATOR = SEPARATOR
"""Separates item_id and scenario_id in the key of a per-scenario update."""


@dataclass(frozen=True)
class EntryRoute:
    """Topic and keys of one entry.

    Args:
        suffix: topic suffix.
        key: record key, the unit of compaction.
        partition_key: the key hashed for the partition. All records of an item share it, so that an item's updates
            and per-scenario updates stay in order and have one reader.
    """

    suffix: str
    key: bytes
    partition_key: bytes


def route_entry(entry: Entry) -> EntryRoute:
    """The route of a valid entry; raises ValueError if no kind is set."""
    match entry.WhichOneof("entry"):
        case "behavior_event":
            return _route_by_key(BEHAVIOR, entry.behavior_event.user_id)
        case "user_erasure":
            return _route_by_key(BEHAVIOR, entry.user_erasure.user_id)
        case "item_update":
            return _route_by_key(ITEMS, entry.item_update.item_id)
        case "item_scenario_update":
            update = entry.item_scenario_update
            key = f"{update.item_id}{KEY_SEPARATOR}{update.scenario_id}"
            return EntryRoute(ITEMS, key.encode(), update.item_id.encode())
        case "scenario_update":
            return _route_by_key(SCENARIOS, entry.scenario_update.scenario_id)
        case kind:
            raise ValueError(f"no route for an entry of kind {kind}")


def topic_name(prefix: str, suffix: str) -> str:
    """The topic's full name."""
    return f"{prefix}.{suffix}"


def _route_by_key(suffix: str, key: str) -> EntryRoute:
    return EntryRoute(suffix, key.encode(), key.encode())
