"""The log behind a consumer: one topic, read by a group, with outputs and offsets committed together.

One Protocol, the fake beside it; the real one is in kafka_log.py. Knows nothing of what records mean.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from services.errors import CrossRecError

Headers = list[tuple[str, bytes | None]]


class KafkaUnavailable(CrossRecError):
    """The log cannot be reached or did not confirm; what was committed is only known after a rewind."""


class LostPartitions(CrossRecError):
    """Another consumer owns the partitions of the batch now, or may do so soon."""


@dataclass(frozen=True)
class Record:
    """A record as it was read."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Headers = field(default_factory=list)
    time_s: float = 0.0
    """When the broker appended it, or the producer made it where the topic says so; seconds since 1970."""


@dataclass(frozen=True)
class OutputRecord:
    """A record to write together with the offsets of the batch it comes from; it has a key or a value.

    Without a partition the key decides.
    """

    topic: str
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes]] = field(default_factory=list)
    partition: int | None = None


class RecordSource(Protocol):
    """A group's view of a topic."""

    def poll(self, wait_s: float) -> list[Record]:
        """The next batch, in offset order per partition; empty after `wait_s` seconds without records.

        Raises KafkaUnavailable or LostPartitions; then `rewind` and poll again.
        """
        ...

    def commit(self, outputs: Sequence[OutputRecord], records: Sequence[Record]) -> None:
        """Write outputs and the offsets after `records`, the next of the last batch that are not committed.

        All or nothing. Raises KafkaUnavailable or LostPartitions; then `rewind` and poll again.
        """
        ...

    def keep_alive(self, wait_s: float) -> bool:
        """Stay in the group for up to `wait_s` seconds without reading; False if the batch may no longer be ours.

        Raises KafkaUnavailable or LostPartitions; then `rewind` and poll again.
        """
        ...

    def rewind(self) -> None:
        """Go back to the committed offsets of the assigned partitions. Raises KafkaUnavailable or LostPartitions."""
        ...

    def close(self) -> None:
        """Leave the group."""
        ...


class MemoryRecordSource:
    """A log in memory, read by one member of one group; the fake.

    Args:
        records: what was written, in the order in which it is polled.
        batch: most records per poll.

    `poll_failures` and `commit_failures` hold errors that the coming calls raise, in order; a failed commit
    commits nothing. `rebalances` holds what the coming `keep_alive` calls answer; then True.
    """

    def __init__(self, records: Sequence[Record], batch: int = 1000) -> None:
        self.records, self._batch = list(records), batch
        self.committed = self.position = 0
        self.outputs: list[OutputRecord] = []
        self.poll_failures: list[CrossRecError] = []
        self.commit_failures: list[CrossRecError] = []
        self.rewind_failures: list[CrossRecError] = []
        self.rebalances: list[bool] = []
        self.waits = self.rewinds = 0
        self.closed = False

    def poll(self, wait_s: float) -> list[Record]:
        """The next batch."""
        del wait_s
        if self.poll_failures:
            raise self.poll_failures.pop(0)
        batch = self.records[self.position : self.position + self._batch]
        self.position += len(batch)
        return batch

    def commit(self, outputs: Sequence[OutputRecord], records: Sequence[Record]) -> None:
        """Keep the outputs and the position after the records."""
        if self.commit_failures:
            raise self.commit_failures.pop(0)
        self.outputs += outputs
        self.committed += len(records)

    def keep_alive(self, wait_s: float) -> bool:
        """Count the waits; answer what the script says."""
        del wait_s
        self.waits += 1
        return self.rebalances.pop(0) if self.rebalances else True

    def rewind(self) -> None:
        """Go back to the committed position."""
        if self.rewind_failures:
            raise self.rewind_failures.pop(0)
        self.rewinds += 1
        self.position = self.committed

    def close(self) -> None:
        """Remember that it was closed."""
        self.closed = True
