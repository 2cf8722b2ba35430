"""Polls that are bounded in bytes."""

from collections import defaultdict
from types import SimpleNamespace
from typing import Any

import pytest
from kafka.consumer.fetcher import ConsumerRecord, Fetcher

from services.kafka.poll_bytes import POLL_BYTES, bound_polls

MEGABYTE = 1024 * 1024


class Part(Fetcher.PartitionRecords):
    """Records of a partition whose batch was read, without a broker."""

    def __init__(self, sizes: list[int], failure: Exception | None = None) -> None:
        self.record_iterator, self._next_inline_exception = self._records(sizes, failure), None

    def _records(self, sizes: list[int], failure: Exception | None) -> Any:
        for offset, size in enumerate(sizes):
            headers = [("h", b"v")] if size else []
            key = b"k" * (size // 2)
            yield ConsumerRecord("t", 0, -1, offset, 0, 0, key, b"v" * (size - len(key)), headers, None, 0, 0, 0)
        if failure:
            raise failure


def poll(parts: list[Part], most: int = 5000) -> dict[int, list[int]]:
    """The offsets that one poll returns, by number of the part; what is left stays in the parts."""

    def append(_: Any, drained: Any, part: Part, max_records: int, __: bool) -> int:
        found = part.take(max_records)
        if found:
            drained[parts.index(part)] += found
        return len(found)

    drained: Any = defaultdict(list)
    left, bounded, fetcher = most, bound_polls(append), SimpleNamespace()
    for part in parts:
        while left > 0 and (taken := bounded(fetcher, drained, part, left, True)):
            left -= taken
    return {number: [record.offset for record in records] for number, records in drained.items()}


def test_a_poll_ends_with_the_record_that_passes_the_bound() -> None:
    """The next poll goes on behind it, on every partition; nothing is lost."""
    first, second = Part([10 * MEGABYTE] * 5), Part([MEGABYTE] * 40)
    assert {0: [0, 1, 2, 3]} == poll([first, second])
    assert {0: [4], 1: list(range(22))} == poll([first, second])
    assert {1: list(range(22, 40))} == poll([first, second])
    assert {} == poll([first, second])


def test_small_records_are_bounded_in_number() -> None:
    """As ever; empty ones, too."""
    part = Part([0] * 10 + [100] * 10)
    assert [{0: [0, 1, 2]}, {0: [3, 4]}] == [poll([part], 3), poll([part], 2)]
    assert {0: list(range(5, 20))} == poll([part])


def test_an_error_comes_after_the_records_before_it() -> None:
    """As of kafka-python: at the next poll."""
    part = Part([1, 1, POLL_BYTES, 1], ValueError("damaged"))
    assert [{0: [0, 1, 2]}, {0: [3]}] == [poll([part]), poll([part], 1)]
    with pytest.raises(ValueError, match="damaged"):
        poll([part])
