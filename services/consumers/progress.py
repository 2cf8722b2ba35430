"""Where a consumer stands in its topic: what it has in hand, what is committed, how much is left. Pure.

Written by the consumer's thread, read by those who ask for metrics or health: every change replaces a whole value.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from services.kafka.record_source import Record


@dataclass(frozen=True)
class PartitionLag:
    """What a group has still to commit of a partition.

    Args:
        records: offsets up to the end, as of the last read.
        seconds: how long the next record to commit has been in the log; 0 where there is none.
    """

    records: int
    seconds: float


class ConsumerProgress:
    """The stand of one member.

    `newest_committed_s` is when the newest committed record was appended, seconds since 1970; None before the first.
    """

    def __init__(self) -> None:
        self.newest_committed_s: float | None = None
        self._bounds: Mapping[int, tuple[int, int]] = {}
        self._in_hand: Sequence[Record] = ()

    def reached(self, bounds: Mapping[int, tuple[int, int]]) -> None:
        """Position after the last poll, and end, of every assigned partition whose end is known."""
        self._bounds = dict(bounds)

    def took(self, records: Sequence[Record]) -> None:
        """A batch was polled; none of it is committed."""
        self._in_hand = records

    def committed(self, records: Sequence[Record]) -> None:
        """The first records of the batch are committed."""
        self._in_hand = self._in_hand[len(records) :]
        times = [record.time_s for record in records]
        self.newest_committed_s = max([*times, self.newest_committed_s or 0.0])

    def dropped(self) -> None:
        """The batch was given up."""
        self._in_hand = ()

    def lags(self, now_s: float) -> dict[int, PartitionLag]:
        """Lag by partition."""
        bounds, first = self._bounds, _first(self._in_hand)
        lags = {}
        for partition, (position, end) in bounds.items():
            record = first.get(partition)
            next_offset = position if record is None else record.offset
            seconds = 0.0 if record is None else max(0.0, now_s - record.time_s)
            lags[partition] = PartitionLag(max(0, end - next_offset), seconds)
        return lags


def _first(records: Iterable[Record]) -> dict[int, Record]:
    first: dict[int, Record] = {}
    for record in records:
        first.setdefault(record.partition, record)
    return first
