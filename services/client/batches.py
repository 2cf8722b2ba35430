"""Prepares entries for publishing: event ids before the first try, and requests within the gateway's limits. Pure.

What the gateway would refuse for its size is refused here: gRPC answers it with RESOURCE_EXHAUSTED, as if it were worth
another try, and a stream would end with all that is pending on it.
"""

import uuid
from collections.abc import Iterable, Iterator, Sequence

import grpc

from crossrec.events.v1.events_pb2 import Entry

from .errors import InvalidArgument

MAX_ENTRIES = 1000
MAX_BYTES = 4 * 1024 * 1024
"""Limits of a batch that entries are split into."""

MAX_REQUEST_BYTES = 8 * 1024 * 1024
"""The largest request that the gateway receives."""

ENTRY_OVERHEAD_BYTES = 8
"""Bytes of a request per entry, at most, beside the entry."""


def ensure_event_id(entry: Entry) -> Entry:
    """Give the entry an event id if it has none, by which repeats are recognised; returns the entry itself."""
    if kind := entry.WhichOneof("entry"):
        body = getattr(entry, kind)
        body.event_id = body.event_id or uuid.uuid4().hex
    return entry


def check_request(entries: Sequence[Entry]) -> None:
    """Raise InvalidArgument for entries that the gateway does not take in one request."""
    if not 1 <= len(entries) <= MAX_ENTRIES:
        fault = f"has {len(entries)} entries, must have 1 to {MAX_ENTRIES}"
        raise InvalidArgument(grpc.StatusCode.INVALID_ARGUMENT, f"entries: {fault}")
    size = sum(entry.ByteSize() + ENTRY_OVERHEAD_BYTES for entry in entries)
    if size > MAX_REQUEST_BYTES - 2 * ENTRY_OVERHEAD_BYTES:
        fault = f"{size} bytes in one request, the gateway receives at most {MAX_REQUEST_BYTES}"
        raise InvalidArgument(grpc.StatusCode.INVALID_ARGUMENT, f"entries: {fault}")


def split_batches(entries: Iterable[Entry]) -> Iterator[list[Entry]]:
    """Batches of the entries, with ids and in order, within the limits; a larger entry is a batch of its own.

    Raises InvalidArgument at an entry that is larger than a request may be.
    """
    batch: list[Entry] = []
    size = 0
    for entry in map(ensure_event_id, entries):
        bytes_ = entry.ByteSize()
        if bytes_ > MAX_BYTES:
            check_request([entry])
        if batch and (len(batch) == MAX_ENTRIES or size + bytes_ > MAX_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(entry)
        size += bytes_
    if batch:
        yield batch
