"""The log behind a consumer: one topic, read by a group, with outputs and offsets committed together.

One Protocol, the fake beside it; the real one is in kafka_log.py. Knows nothing of what records mean.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from services.runtime.errors import CrossRecError

Headers = list[tuple[str, bytes]]


class LogUnavailable(CrossRecError):
    """The log cannot be reached or did not confirm; what was committed is only known after a rewind."""


class LostPartitions(CrossRecError):
    """Another consumer owns the partitions of the batch now."""


@dataclass(frozen=True)
class Record:
    """A record as it was read."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Headers = field(default_factory=list)


@dataclass(frozen=True)
class Output:
    """A record to write together with the offsets of the batch it comes from."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: Headers = field(default_factory=list)


class Log(Protocol):
    """A group's view of a topic."""

    def poll(self, wait_s: float) -> list[Record]:
        """The next batch, in offset order per partition; empty after `wait_s` seconds without records."""
        ...

    def commit(self, outputs: Sequence[Output]) -> None:
        """Write outputs and the offsets after the last batch, all or nothing.

        Raises LogUnavailable or LostPartitions; then `rewind` and poll again.
        """
        ...

    def keep_alive(self, wait_s: float) -> bool:
        """Stay in the group for `wait_s` seconds without reading; False if partitions of the batch are lost."""
        ...

    def rewind(self) -> None:
        """Go back to the committed offsets of the assigned partitions."""
        ...

    def close(self) -> None:
        """Leave the group."""
        ...


class MemoryLog:
    """A log of one partition in memory; the fake.

    Args:
        records: the topic, by offset.
        batch: most records per poll.
        commit_failures: errors that the coming commits raise, in order; the fake then commits nothing.
    """

    def __init__(self, records: Sequence[Record], batch: int = 1000) -> None:
        self.records, self._batch = list(records), batch
        self.committed = self._position = 0
        self.outputs: list[Output] = []
        self.commit_failures: list[CrossRecError] = []
        self.waits = 0
        self.closed = False

    def poll(self, wait_s: float) -> list[Record]:
        """The next batch."""
        del wait_s
        batch = self.records[self._position : self._position + self._batch]
        self._position += len(batch)
        return batch

    def commit(self, outputs: Sequence[Output]) -> None:
        """Keep the outputs and the position."""
        if self.commit_failures:
            raise self.commit_failures.pop(0)
        self.outputs += outputs
        self.committed = self._position

    def keep_alive(self, wait_s: float) -> bool:
        """Count the waits; partitions are never lost."""
        del wait_s
        self.waits += 1
        return True

    def rewind(self) -> None:
        """Go back to the committed position."""
        self._position = self.committed

    def close(self) -> None:
        """Remember that it was closed."""
        self.closed = True
