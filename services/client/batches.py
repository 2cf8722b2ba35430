"""Prepares entries for publishing: event ids before the first try, and batches of limited size. Pure."""

import uuid
from collections.abc import Iterable, Iterator

from crossrec.events.v1.events_pb2 import Entry

MAX_ENTRIES = 1000
MAX_BYTES = 4 * 1024 * 1024
"""Limits of a batch; the gateway accepts 8 MiB."""


def ensure_event_id(entry: Entry) -> Entry:
    """Give the entry an event id if it has none, by which repeats are recognised; returns the entry itself."""
    if kind := entry.WhichOneof("entry"):
        body = getattr(entry, kind)
        body.event_id = body.event_id or uuid.uuid4().hex
    return entry


def split_batches(entries: Iterable[Entry]) -> Iterator[list[Entry]]:
    """Batches of the entries, with ids and in order, within the limits; a larger entry is a batch of its own."""
    batch: list[Entry] = []
    size = 0
    for entry in map(ensure_event_id, entries):
        bytes_ = entry.ByteSize()
        if batch and (len(batch) == MAX_ENTRIES or size + bytes_ > MAX_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(entry)
        size += bytes_
    if batch:
        yield batch
