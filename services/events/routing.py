"""Routing of entries: topic, record key and partition key.

Knows no partition numbers: they depend on the topic, which only the Kafka client knows.
"""

from dataclasses import dataclass

from crossrec.events.v1.events_pb2 import Entry
from services.features.ids import SEPARATOR

BEHAVIOR, ITEMS, SCENARIOS = "behavior", "items", "scenarios"
"""Topic suffixes; a topic is named `<prefix>.<suffix>`."""

DELETIONS = frozenset({"item_deletion", "item_scenario_deletion", "scenario_deletion"})
"""Kinds of entries that are stored as tombstones: records without a value, which compaction removes with the key."""

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


_KEYS = {
    "behavior_event": (BEHAVIOR, ("user_id",)),
    "user_update": (BEHAVIOR, ("user_id",)),
    "user_erasure": (BEHAVIOR, ("user_id",)),
    "item_update": (ITEMS, ("item_id",)),
    "item_deletion": (ITEMS, ("item_id",)),
    "item_scenario_update": (ITEMS, ("item_id", "scenario_id")),
    "item_scenario_deletion": (ITEMS, ("item_id", "scenario_id")),
    "scenario_update": (SCENARIOS, ("scenario_id",)),
    "scenario_deletion": (SCENARIOS, ("scenario_id",)),
}
"""Topic of every kind of entry, and the fields that its record key joins; the first one chooses the partition."""


def route_entry(entry: Entry) -> EntryRoute:
    """The route of a valid entry; raises ValueError if no kind is set."""
    kind = entry.WhichOneof("entry")
    if kind is None:
        raise ValueError("no route for an entry of no kind")
    suffix, fields = _KEYS[kind]
    message = getattr(entry, kind)
    ids = [getattr(message, field) for field in fields]
    return EntryRoute(suffix, KEY_SEPARATOR.join(ids).encode(), ids[0].encode())


def topic_name(prefix: str, suffix: str) -> str:
    """The topic's full name."""
    return f"{prefix}.{suffix}"
