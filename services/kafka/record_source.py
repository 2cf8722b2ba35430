"""The record source of a consumer: one topic read by a consumer group, outputs and offsets committed together.

One Protocol and its fake; the real one is `KafkaRecordSource` (consumer.py). Knows nothing of what records mean.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from services.errors import CrossRecError

Headers = list[tuple[str, bytes | None]]

Admit = Callable[[Mapping[int, int]], Sequence[int]]
"""Takes the committed offset of each assigned partition, after every assignment and rewind, and checks that the topic
may be folded; returns the first offset to fold per partition, in their order."""

PassOver = Callable[[Mapping[int, int]], None]
"""Takes offsets per partition."""


class LostPartitions(CrossRecError):
    """Another consumer owns the partitions of the batch, or may own them soon."""


class OutputsRejected(CrossRecError):
    """Kafka takes these outputs at no time: one of them is too large, or malformed. Nothing was written."""


@dataclass(frozen=True)
class Record:
    """A record as it was consumed."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Headers = field(default_factory=list)
    time_s: float = 0.0
    """When the broker appended it, or the producer made it if the topic is configured so; seconds since 1970."""
    unreadable: str = ""
    """Why the value is a whole batch, as the broker sent it, that cannot be read; empty: this is a record."""


@dataclass(frozen=True)
class OutputRecord:
    """A record to produce in one transaction with the offsets of the batch that it comes from.

    It has a key or a value. Without a partition the key decides the partition.
    """

    topic: str
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes]] = field(default_factory=list)
    partition: int | None = None


class RecordSource(Protocol):
    """One topic, read as a member of a consumer group."""

    def poll(self, wait_s: float) -> list[Record]:
        """The next batch, in offset order per partition; empty after `wait_s` seconds without records.

        Records that are unreadable come alone; a commit passes over the batches that they stand for.
        Raises KafkaUnavailable or LostPartitions; then `rewind` and poll again.
        """
        ...

    def commit(self, outputs: Sequence[OutputRecord], records: Sequence[Record]) -> None:
        """Write outputs, and the offsets after `records`: the first records of the last batch not committed yet.

        Atomic. Raises OutputsRejected, after which other outputs can be committed; KafkaUnavailable or LostPartitions,
        after which `rewind` and poll again.
        """
        ...

    def keep_alive(self, wait_s: float) -> bool:
        """Stay in the group for up to `wait_s` seconds without reading; False if the partitions may be reassigned.

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
    """A topic in memory, read by one member of one group; the fake.

    Args:
        records: the topic's records, in the order in which they are polled.
        batch: most records per poll.

    `rejects` says which outputs it does not take. `poll_failures`, `commit_failures` and `rewind_failures` hold errors
    that the next calls raise, in order; a failed commit commits nothing. `rebalances` holds the answers of the next
    `keep_alive` calls; then they answer True.
    """

    def __init__(self, records: Sequence[Record], batch: int = 1000) -> None:
        self.records, self._batch = list(records), batch
        self.committed = self.position = 0
        self.outputs: list[OutputRecord] = []
        self.rejects: Callable[[OutputRecord], bool] = lambda _: False
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
        """Store the outputs and the position after the records."""
        if self.commit_failures:
            raise self.commit_failures.pop(0)
        if any(map(self.rejects, outputs)):
            raise OutputsRejected("MessageSizeTooLargeError")
        self.outputs += outputs
        self.committed += len(records)

    def keep_alive(self, wait_s: float) -> bool:
        """Count the call; return the next answer of `rebalances`."""
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
        """Record that it was closed."""
        self.closed = True
