"""How much is folded and committed at once: less after a batch that was slow, too large, or could not be committed.

A poll brings thousands of records, each of up to megabytes. What one batch may cost is bounded, so that its outputs fit
a transaction, and its time those of the consumer group and of a stop signal.
"""

from collections.abc import Sequence

from services.kafka.record_source import Record

BATCH_BYTES = 8 * 1024 * 1024
"""Most bytes of records that are folded at once; a record that is larger is folded alone."""

HEADER_BYTES = 8
"""Bytes of a header besides its name and value."""

SLOW_S, FAST_S = 2.0, 0.5
"""Above and below these seconds per fold, the next batch is halved or doubled."""


class BatchLimit:
    """The most records of the next batch. For one thread."""

    def __init__(self) -> None:
        self.records: int | None = None
        """None: no limit but that of bytes."""

    def take(self, records: Sequence[Record], begin: int) -> Sequence[Record]:
        """The records of the next batch: those from `begin` on, up to the limit, at least one."""
        end = len(records) if self.records is None else min(begin + self.records, len(records))
        room = BATCH_BYTES
        for number in range(begin, end):
            room -= record_bytes(records[number])
            if room < 0 and number > begin:
                return records[begin:number]
        return records[begin:end]

    def on_folded(self, records: int, seconds: float) -> None:
        """A batch of so many records took so long."""
        if seconds > SLOW_S:
            self.halve(records)
        elif seconds < FAST_S and self.records is not None and records >= self.records:
            self.records = 2 * self.records

    def halve(self, records: int) -> None:
        """A batch of so many records took too long, or could not be committed."""
        self.records = max(1, records // 2)


def record_bytes(record: Record) -> int:
    """Size of a record's key, value and headers."""
    size = len(record.value or b"") + len(record.key or b"")
    for name, value in record.headers:
        size += len(name) + len(value or b"") + HEADER_BYTES
    return size
