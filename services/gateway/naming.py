"""Entries as they are stored, under what their users are called inside.

Entries about nobody stay as they are. An erasure has to find what was stored under earlier keys, so it is stored once
under each. Knows no Kafka.
"""

from crossrec.events.v1.events_pb2 import Entry
from services.server.security.pseudonyms import Pseudonymizer


def renamed(entry: Entry, pseudonyms: Pseudonymizer) -> list[Entry]:
    """What is to be stored of a valid entry, which is changed in place where one is enough."""
    if not pseudonyms.keys:
        return [entry]
    match entry.WhichOneof("entry"):
        case "behavior_event":
            event = entry.behavior_event
            event.user_id = pseudonyms.pseudonymize(event.user_id)
        case "user_erasure":
            return [_erasing(entry, name) for name in pseudonyms.all_pseudonyms(entry.user_erasure.user_id)]
    return [entry]


def _erasing(entry: Entry, name: str) -> Entry:
    erasure = Entry()
    erasure.CopyFrom(entry)
    erasure.user_erasure.user_id = name
    return erasure
