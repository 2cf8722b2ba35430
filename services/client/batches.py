"""Entries made ready to be sent: ids before the first try, and batches that the gateway takes. Pure."""

import uuid
from collections.abc import Iterable, Iterator

from crossrec.events.v1.events_pb2 import Entry

MAX_ENTRIES = 1000
MAX_BYTES = 4 * 1024 * 1024
"""Bounds of a batch; the gateway takes 8 MiB."""


def with_id(entry: Entry) -> Entry:
    """The entry itself, with an event id if it had none: by that the gateway's readers know a repeat."""
    if kind := entry.WhichOneof("entry"):
        body = getattr(entry, kind)
        body.event_id = body.event_id or uuid.uuid4().hex
    return entry


def batches(entries: Iterable[Entry]) -> Iterator[list[Entry]]:
    """The entries, with ids and in order, in batches within the bounds; an entry above them is a batch of its own."""
    batch: list[Entry] = []
    size = 0
    for entry in map(with_id, entries):
        bytes_ = entry.ByteSize()
        if batch and (len(batch) == MAX_ENTRIES or size + bytes_ > MAX_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(entry)
        size += bytes_
    if batch:
        yield batch
