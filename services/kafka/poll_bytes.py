"""The bytes of a poll are bounded, not only its records: a small compressed batch may hold thousands of megabytes.

`bound_polls` is a patch of kafka-python (see patches.py), which counts records alone.
"""

from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from typing import Any

POLL_BYTES = 32 * 1024 * 1024
"""A poll ends with the record that passes so many bytes of keys, values and headers."""

_ROOM = "_crossrec_room"
"""Bytes that a fetcher may still add to the poll in progress."""


def bound_polls(append: Callable[..., int]) -> Callable[..., int]:
    """A patch of `Fetcher._append`, which moves records of one partition into what a poll returns."""

    def append_bounded(
        fetcher: Any, drained: Mapping[Any, Sequence[Any]], part: Any, max_records: int, update_offsets: bool
    ) -> int:
        # Each poll begins with nothing drained.
        room: int = vars(fetcher)[_ROOM] if drained else POLL_BYTES
        if room <= 0:
            return max_records  # as if all were taken: the poll ends, and the next one goes on from here

        def take(most: int) -> list[Any]:
            records, vars(fetcher)[_ROOM] = _take(part, most, room)
            return records

        vars(fetcher)[_ROOM], part.take = room, take
        return append(fetcher, drained, part, max_records, update_offsets)

    return append_bounded


def _take(part: Any, most: int, room: int) -> tuple[list[Any], int]:
    """As `PartitionRecords.take`, up to the record with which they pass `room` bytes; and how much room they leave."""
    part._maybe_raise_next_inline_exception()
    records: list[Any] = []
    try:
        for record in islice(part.record_iterator, most):
            records.append(record)
            room -= _size(record)
            if room <= 0:
                break
    except Exception as error:
        if not records:
            raise
        part._next_inline_exception = error
    return records, room


def _size(record: Any) -> int:
    size = len(record.key or b"") + len(record.value or b"")
    for name, value in record.headers:
        size += len(name) + len(value or b"")
    return size
