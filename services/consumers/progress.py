"""A consumer's progress in its topic: current batch, committed records, lag. Pure.

Updated by the consumer's thread, read by those of metrics and health: every change replaces a whole value.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from services.kafka.record_source import Record


@dataclass(frozen=True)
class PartitionLag:
    """What the group has not committed yet of a partition.

    Args:
        records: offsets up to the end, as of the last poll.
        seconds: how long ago the next record to commit was appended; 0 if there is none.
    """

    records: int
    seconds: float


class ConsumerProgress:
    """Progress of one group member.

    `newest_committed_s` is when the newest committed record was appended, seconds since 1970; None before the first.
    """

    def __init__(self) -> None:
        self.newest_committed_s: float | None = None
        self._bounds: Mapping[int, tuple[int, int]] = {}
        self._batch: Sequence[Record] = ()

    def on_positions(self, bounds: Mapping[int, tuple[int, int]]) -> None:
        """Position after the last poll, and end, of every assigned partition whose end is known."""
        self._bounds = dict(bounds)

    def on_polled(self, records: Sequence[Record]) -> None:
        """A batch was polled; none of it is committed."""
        self._batch = records

    def on_committed(self, records: Sequence[Record]) -> None:
        """The first records of the batch are committed."""
        self._batch = self._batch[len(records) :]
        times = [record.time_s for record in records]
        self.newest_committed_s = max([*times, self.newest_committed_s or 0.0])

    def on_dropped(self) -> None:
        """The batch was dropped."""
        self._batch = ()

    def lags(self, now_s: float) -> dict[int, PartitionLag]:
        """Lag by partition."""
        bounds, first = self._bounds, _first_by_partition(self._batch)
        lags = {}
        for partition, (position, end) in bounds.items():
            record = first.get(partition)
            next_offset = position if record is None else record.offset
            seconds = 0.0 if record is None else max(0.0, now_s - record.time_s)
            lags[partition] = PartitionLag(max(0, end - next_offset), seconds)
        return lags


def _first_by_partition(records: Iterable[Record]) -> dict[int, Record]:
    first: dict[int, Record] = {}
    for record in records:
        first.setdefault(record.partition, record)
    return first
