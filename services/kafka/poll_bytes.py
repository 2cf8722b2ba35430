"""The bytes of a poll are bounded, not only its records: a small compressed batch may hold thousands of megabytes.

`bound_polls` is a patch of kafka-python (see patches.py), which counts records alone.
"""

from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from typing import Any

POLL_BYTES = 32 * 1024 * 1024
"""A poll ends with the record that passes so many bytes of keys, values and headers."""


def bound_polls(append: Callable[..., int]) -> Callable[..., int]:
    """A patch of `Fetcher._append`, which moves records of one partition into what a poll returns."""

    def append_bounded(
        fetcher: Any, drained: Mapping[Any, Sequence[Any]], part: Any, max_records: int, update_offsets: bool
    ) -> int:
        room = POLL_BYTES - sum(map(_size, drained.values()))
        if room <= 0:
            return max_records  # as if all were taken: the poll ends, and the next one goes on from here
        part.take = lambda most: _take(part, most, room)
        return append(fetcher, drained, part, max_records, update_offsets)

    return append_bounded


def _take(part: Any, most: int, room: int) -> list[Any]:
    """As `PartitionRecords.take`, up to the record with which they pass `room` bytes."""
    part._maybe_raise_next_inline_exception()
    records: list[Any] = []
    try:
        for record in islice(part.record_iterator, most):
            records.append(record)
            room -= _size([record])
            if room <= 0:
                break
    except Exception as error:
        if not records:
            raise
        part._next_inline_exception = error
    return records


def _size(records: Sequence[Any]) -> int:
    size = 0
    for record in records:
        size += len(record.key or b"") + len(record.value or b"")
        for name, value in record.headers:
            size += len(name) + len(value or b"")
    return size
