"""A record source that marks in the store what is folded, before it is committed to Kafka; wraps another one.

With the marks a consumer notices a store that lost rows which Kafka counts as folded: it refuses to go on and says what
to do. The lost rows are not in what it would fold next.
"""

import time
from collections.abc import Callable, Sequence

from services.kafka.record_source import OutputRecord, Record, RecordSource
from services.store.folded_offsets import FoldedOffsets
from services.store.protocol import StoreUnavailable

CHECK_S = 10.0
"""Seconds between checks of the marks while no records arrive."""


class MarkedRecordSource:
    """A RecordSource whose commits are marked first.

    Args:
        source: yields batches; offsets and outputs are committed to it.
        folded: the marks.
        clock: monotonic seconds.
    """

    def __init__(
        self, source: RecordSource, folded: FoldedOffsets, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._source, self._folded, self._clock = source, folded, clock
        self._node_changes = 0
        self._check_at_s = 0.0

    def poll(self, wait_s: float) -> list[Record]:
        """See `RecordSource`. Raises RowsLost if the store lost rows meanwhile."""
        self._node_changes = self._folded.node_changes()
        records = self._source.poll(wait_s)
        if not records and self._clock() >= self._check_at_s:
            self._folded.check()  # again with the next poll if it fails
            self._check_at_s = self._clock() + CHECK_S
        return records

    def commit(self, outputs: Sequence[OutputRecord], records: Sequence[Record]) -> None:
        """See `RecordSource`. Raises StoreUnavailable if the records must be folded again; RowsLost."""
        offsets = {record.partition: record.offset + 1 for record in records}
        self._folded.record(offsets)
        before, self._node_changes = self._node_changes, self._folded.node_changes()
        if self._node_changes != before:
            # A failover may have taken back the first rows of the batch, and none of the marks.
            raise StoreUnavailable("online store: a server was replaced or restarted while a batch was written")
        self._source.commit(outputs, records)
        self._folded.confirm(offsets)

    def keep_alive(self, wait_s: float) -> bool:
        """See `RecordSource`."""
        return self._source.keep_alive(wait_s)

    def rewind(self) -> None:
        """See `RecordSource`."""
        self._source.rewind()

    def close(self) -> None:
        """See `RecordSource`."""
        self._source.close()
