"""The observer of a consumer: passes every step on to metrics, health, progress, traces and the log.

Logs one line per rebalance, per series of failures and per recovery. Called from the consumer's thread only.
No argument quotes a record.
"""

import logging
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry

from services.consumers.dead_letters.record import DeadLetter, log_dead_letters
from services.consumers.health import ConsumerHealth
from services.consumers.metrics import ConsumerMetrics
from services.consumers.progress import ConsumerProgress
from services.kafka.record_source import OutputRecord, Record
from services.server.logging import log_event

if TYPE_CHECKING:
    from services.consumers.batch_traces import BatchTraces

STORE, KAFKA, BATCH, ROWS = "store unavailable", "kafka unavailable", "batch dropped", "rows lost"
"""Kinds of transient failures; also log events, and their first words are labels of metrics."""

_logger = logging.getLogger(__name__)


class ConsumerObserver:
    """Reports what one consumer does.

    Args:
        kind: kind of consumer.
        registry: registry of the metrics.
        clock: seconds since 1970.
        traces: makes spans of batches; None: no traces.
    """

    def __init__(
        self,
        kind: str,
        registry: CollectorRegistry | None = None,
        clock: Callable[[], float] = time.time,
        traces: "BatchTraces | None" = None,
    ) -> None:
        self._kind, self._clock, self._traces = kind, clock, traces
        self._rebalancing_since_s: float | None = None
        self.registry = registry or CollectorRegistry()
        self.progress = ConsumerProgress()
        self.health = ConsumerHealth(clock)
        self.metrics = ConsumerMetrics(self.registry, kind, self.progress, clock)

    def on_revoked(self) -> None:
        """A rebalance begins: all partitions are revoked."""
        self._rebalancing_since_s = self._clock()
        self.health.on_revoked()

    def on_assigned(self, partitions: Sequence[int]) -> None:
        """A rebalance ends with these partitions assigned."""
        now_s = self._clock()
        since_s, self._rebalancing_since_s = self._rebalancing_since_s, None
        self.health.on_assigned(partitions)
        self.metrics.on_assigned()
        took_s = None if since_s is None else round(now_s - since_s, 3)
        log_event(_logger, "rebalanced", kind=self._kind, partitions=list(partitions), took_s=took_s)

    def on_unassigned(self, reason: str) -> None:
        """No partition is assigned, for this reason; empty: there are more members than partitions."""
        self.health.on_unassigned(reason)
        if reason:
            log_event(_logger, "unassigned", level=logging.WARNING, kind=self._kind, reason=reason)

    def on_stopped(self, reasons: Sequence[str]) -> None:
        """These partitions stand before a batch that cannot be read; none: all are read."""
        self.health.on_stopped(reasons)
        self.metrics.on_stopped(len(reasons))

    def on_expired(self, partition: int, records: int) -> None:
        """Records of a partition expired in Kafka before they were folded."""
        self.health.on_expired(partition, records)
        self.metrics.on_expired(records)
        level, kind = logging.ERROR, self._kind
        log_event(_logger, "records_expired", level=level, kind=kind, partition=partition, records=records)

    def on_positions(self, bounds: Mapping[int, tuple[int, int]]) -> None:
        """After a poll: position and end of the assigned partitions."""
        self.progress.on_positions(bounds)

    def on_polled(self, records: Sequence[Record]) -> None:
        """Kafka answered a poll with these records."""
        self.health.on_activity()
        self.progress.on_polled(records)
        if self._traces is not None:
            self._traces.on_polled(records)
        if not records:
            self.on_recovered()

    def on_folded(self, seconds: float) -> None:
        """A batch was folded."""
        self.metrics.on_folded(seconds)
        if self._traces is not None:
            self._traces.on_folded(seconds)

    def on_store_call(self, operation: str, view: str, rows: int, seconds: float) -> None:
        """The store was called."""
        self.metrics.on_store_call(operation, view, rows, seconds)
        if self._traces is not None:
            self._traces.on_store_call(operation, view, rows, seconds)

    def add_trace_headers(self, records: Sequence[Record], outputs: Sequence[OutputRecord]) -> Sequence[OutputRecord]:
        """The outputs with headers that continue the traces of the records."""
        return outputs if self._traces is None else self._traces.add_trace_headers(records, outputs)

    def on_committed(
        self,
        records: Sequence[Record],
        dead_letters: Sequence[DeadLetter],
        counts: Counter[tuple[str, str]],
        seconds: float,
    ) -> None:
        """The first records of the batch were folded, and committed in `seconds`."""
        self.health.on_activity()
        self.progress.on_committed(records)
        self.metrics.on_committed(records, dead_letters, counts, seconds)
        if self._traces is not None:
            self._traces.on_committed(len(records), seconds)
        log_dead_letters(dead_letters)
        self.on_recovered()

    def on_failure(self, what: str, reason: str) -> None:
        """An attempt failed; the first of a series is logged."""
        self.metrics.on_failure(what.partition(" ")[0])
        if self._traces is not None:
            self._traces.on_failure(what)
        self._log_first(what, reason)

    def on_dropped(self, reason: str, *, fenced: bool) -> None:
        """The current batch was dropped."""
        self.progress.on_dropped()
        self.metrics.on_dropped()
        if self._traces is not None:
            self._traces.on_dropped()
        if fenced:
            self.metrics.on_fenced()
        self._log_first(BATCH, reason)

    def on_recovered(self) -> None:
        """An attempt succeeded; the end of a series of failures is logged, with its duration and number of failures."""
        series = self.health.on_recovered()
        if series is not None:
            took_s = round(self._clock() - series.since_s, 3)
            log_event(
                _logger, "recovered", kind=self._kind, after=series.kinds, failures=series.failures, took_s=took_s
            )

    def on_stopping(self) -> None:
        """The consumer stops after the current batch."""
        self.health.on_stopping()

    @property
    def failures(self) -> int:
        """Failures since the last success."""
        series = self.health.series
        return 0 if series is None else series.failures

    def _log_first(self, what: str, reason: str) -> None:
        known = self.health.series
        self.health.on_failure(what, reason)
        if known is None or what not in known.kinds:
            event = what.replace(" ", "_")
            log_event(_logger, event, level=logging.WARNING, kind=self._kind, reason=reason)
