"""What a consumer tells about itself: told once, it goes to metrics, health and the log.

One line in the log per rebalance, per series of failures and per recovery. Called from the consumer's thread only;
nothing that comes here quotes a record.
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

STORE, LOG, BATCH = "store unavailable", "log unavailable", "batch dropped"
"""What can be wrong for a while."""

_logger = logging.getLogger(__name__)


class ConsumerObserver:
    """Watches one consumer.

    Args:
        kind: kind of consumer.
        registry: where metrics go.
        clock: seconds since 1970.
        traces: told of batches, too; None: there are no traces.
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

    def revoked(self) -> None:
        """A rebalance begins: the partitions are taken away."""
        self._rebalancing_since_s = self._clock()
        self.health.revoked()

    def assigned(self, partitions: Sequence[int]) -> None:
        """A rebalance ends; these are the consumer's now."""
        now_s = self._clock()
        since_s, self._rebalancing_since_s = self._rebalancing_since_s, None
        self.health.assigned(partitions)
        self.metrics.rebalanced()
        took_s = None if since_s is None else round(now_s - since_s, 3)
        log_event(_logger, "rebalanced", kind=self._kind, partitions=list(partitions), took_s=took_s)

    def reached(self, bounds: Mapping[int, tuple[int, int]]) -> None:
        """After a poll: position and end of the assigned partitions."""
        self.progress.reached(bounds)

    def polled(self, records: Sequence[Record]) -> None:
        """The log answered."""
        self.health.alive()
        self.progress.took(records)
        if self._traces is not None:
            self._traces.polled(records)
        if not records:
            self.recovered()

    def folded(self, seconds: float) -> None:
        """A batch was folded."""
        self.metrics.folded(seconds)
        if self._traces is not None:
            self._traces.folded(seconds)

    def stored(self, operation: str, view: str, rows: int, seconds: float) -> None:
        """The store was called."""
        self.metrics.stored(operation, view, rows, seconds)
        if self._traces is not None:
            self._traces.stored(operation, view, rows, seconds)

    def outgoing(self, records: Sequence[Record], outputs: Sequence[OutputRecord]) -> Sequence[OutputRecord]:
        """The outputs of the records as they are to be written: they carry on the records' traces."""
        return outputs if self._traces is None else self._traces.outgoing(records, outputs)

    def committed(
        self,
        records: Sequence[Record],
        letters: Sequence[DeadLetter],
        counts: Counter[tuple[str, str]],
        seconds: float,
    ) -> None:
        """The first records of the batch are folded and committed, which took the commit `seconds`."""
        self.health.alive()
        self.progress.committed(records)
        self.metrics.committed(records, letters, counts, seconds)
        if self._traces is not None:
            self._traces.committed(len(records), seconds)
        log_dead_letters(letters)
        self.recovered()

    def failed(self, what: str, reason: str) -> None:
        """A try failed; the first of a series is logged."""
        self.metrics.failed(what.partition(" ")[0])
        if self._traces is not None:
            self._traces.failed(what)
        self._note(what, reason)

    def dropped(self, reason: str, *, fenced: bool) -> None:
        """The batch in hand was given up."""
        self.progress.dropped()
        self.metrics.dropped()
        if self._traces is not None:
            self._traces.dropped()
        if fenced:
            self.metrics.fenced()
        self._note(BATCH, reason)

    def recovered(self) -> None:
        """All is well; the end of a series is logged, with how long it took and how many tries."""
        series = self.health.recovered()
        if series is not None:
            took_s = round(self._clock() - series.since_s, 3)
            log_event(_logger, "recovered", kind=self._kind, after=series.kinds, tries=series.tries, took_s=took_s)

    def stopping(self) -> None:
        """The consumer finishes."""
        self.health.stopping()

    @property
    def tries(self) -> int:
        """How often something failed since all went well."""
        series = self.health.series
        return 0 if series is None else series.tries

    def _note(self, what: str, reason: str) -> None:
        known = self.health.series
        self.health.failed(what, reason)
        if known is None or what not in known.kinds:
            event = what.replace(" ", "_")
            log_event(_logger, event, level=logging.WARNING, kind=self._kind, reason=reason)
