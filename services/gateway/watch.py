"""What becomes of entries, told to whoever counts it."""

from collections.abc import Sequence
from typing import Protocol

from crossrec.events.v1.events_pb2 import Entry
from services.features.event_types import EVENT_TYPES

_NAMES = dict(enumerate(("unspecified", *EVENT_TYPES)))
"""Names of event types by protobuf enum number."""

UNKNOWN = "unknown"


class EntryObserver(Protocol):
    """Hears of entries, by their types; has to be quick, and must not raise."""

    def rejected(self, types: Sequence[str]) -> None:
        """Entries of these types are not valid."""
        ...

    def ended(self, stored: Sequence[str], unconfirmed: Sequence[str], seconds: float) -> None:
        """It is known what became of valid entries of these types, so long after they were sent."""
        ...


class NullEntryObserver:
    """Nobody counts."""

    def rejected(self, types: Sequence[str]) -> None:
        """Nothing."""

    def ended(self, stored: Sequence[str], unconfirmed: Sequence[str], seconds: float) -> None:
        """Nothing."""


def type_of(entry: Entry) -> str:
    """What kind of entry it is; for a behaviour event, of what type. One of a few words, whatever was sent."""
    kind = entry.WhichOneof("entry")
    if kind == "behavior_event":
        return _NAMES.get(entry.behavior_event.type, UNKNOWN)
    return kind or UNKNOWN
