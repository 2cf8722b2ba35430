"""The metrics of a consumer process: every name, unit and label is in this file.

Knows no HTTP; the registry is the caller's. All names begin with `crossrec_consumer_`, all have the label `kind`.
"""

from collections import Counter as Counts
from collections.abc import Callable, Iterable, Sequence

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import GaugeMetricFamily

from services.consumers.dead_letters.record import DeadLetter, kind_of
from services.consumers.progress import ConsumerProgress
from services.kafka.record_source import Record

PREFIX = "crossrec_consumer"

ANY = "any"
"""Type of events whose types the handler does not tell."""

_BATCH_RECORDS = (1, 10, 50, 100, 250, 500, 1000, 2000, 5000, 10_000)
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_DELAY_S = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 3600, 86_400)


class ConsumerMetrics:
    """What is counted and measured of one consumer.

    Args:
        registry: where the metrics go.
        kind: kind of consumer.
        progress: for lag and freshness, looked at when they are asked for.
        clock: seconds since 1970.
    """

    def __init__(
        self, registry: CollectorRegistry, kind: str, progress: ConsumerProgress, clock: Callable[[], float]
    ) -> None:
        self._registry, self._kind, self._clock, self._progress = registry, kind, clock, progress
        self._events = self._counter("events", "Records by type of entry and what became of them.", "type", "outcome")
        self._letters = self._counter("dead_letters", "Records that could not be folded, by what is wrong.", "reason")
        self._batch = self._histogram("batch_records", "Records folded and committed at once.", _BATCH_RECORDS)
        self._fold_s = self._histogram("fold_seconds", "Folding a batch once, reads and writes of rows included.")
        self._commit_s = self._histogram("commit_seconds", "Writing outputs and offsets of a batch.")
        self._store_s = self._histogram("store_seconds", "A call of the online store.", _SECONDS, "operation", "view")
        self._rows = self._counter("store_rows", "Rows asked for, written or deleted.", "operation", "view")
        what = "From the append of a batch's oldest record by the broker to its commit."
        self._delay_s = self._histogram("delay_seconds", what, _DELAY_S)
        self._failures = self._counter("failures", "Tries that failed for a passing reason, by what is away.", "what")
        self._rebalances = self._counter("rebalances", "Times that partitions were assigned anew.")
        self._fenced = self._counter("fenced_writes", "Writes refused because a row holds a newer position.")
        self._dropped = self._counter("batches_dropped", "Batches given up because others may own their partitions.")
        # What has not happened yet is 0, not absent: rates see the first time, too.
        self._events.labels(kind, ANY, "dead_lettered")
        for what in ("store", "log"):
            self._failures.labels(kind, what)
        for counter in (self._rebalances, self._fenced, self._dropped):
            counter.labels(kind)
        registry.register(self)

    def collect(self) -> Iterable[GaugeMetricFamily]:
        """The gauges, as of now (the protocol of prometheus_client's collectors)."""
        now_s, progress = self._clock(), self._progress
        lags = progress.lags(now_s)
        text = "Records of an assigned partition that are not committed, as of the last read."
        yield self._gauge("lag_records", text, {partition: lag.records for partition, lag in lags.items()})
        text = "How long the next record to commit of an assigned partition has been in the log; 0 without any."
        yield self._gauge("lag_seconds", text, {partition: lag.seconds for partition, lag in lags.items()})
        fresh = GaugeMetricFamily(
            f"{PREFIX}_freshness_seconds",
            "Time since the broker appended the newest record that is committed; grows on a silent topic too.",
            labels=("kind",),
        )
        if progress.newest_committed_s is not None:
            fresh.add_metric((self._kind,), max(0.0, now_s - progress.newest_committed_s))
        yield fresh

    def rebalanced(self) -> None:
        """Partitions were assigned."""
        self._rebalances.labels(self._kind).inc()

    def folded(self, seconds: float) -> None:
        """A batch was folded, in this time."""
        self._fold_s.labels(self._kind).observe(seconds)

    def stored(self, operation: str, view: str, rows: int, seconds: float) -> None:
        """The store was called."""
        self._store_s.labels(self._kind, operation, view).observe(seconds)
        self._rows.labels(self._kind, operation, view).inc(rows)

    def committed(
        self, records: Sequence[Record], letters: Sequence[DeadLetter], counts: Counts[tuple[str, str]], seconds: float
    ) -> None:
        """Records are committed.

        Args:
            records: what is committed.
            letters: those of them that could not be folded.
            counts: (type, outcome) of the others; may be empty.
            seconds: what the commit took.
        """
        self._commit_s.labels(self._kind).observe(seconds)
        self._batch.labels(self._kind).observe(len(records))
        self._delay_s.labels(self._kind).observe(max(0.0, self._clock() - min(r.time_s for r in records)))
        known = counts or Counts({(ANY, "folded"): len(records) - len(letters)})
        for (event_type, outcome), count in (known + Counts({(ANY, "dead_lettered"): len(letters)})).items():
            self._events.labels(self._kind, event_type, outcome).inc(count)
        for reason, count in Counts(kind_of(letter.reason) for letter in letters).items():
            self._letters.labels(self._kind, reason).inc(count)

    def failed(self, what: str) -> None:
        """A try failed."""
        self._failures.labels(self._kind, what).inc()

    def dropped(self) -> None:
        """A batch was given up."""
        self._dropped.labels(self._kind).inc()

    def fenced(self) -> None:
        """A write was refused."""
        self._fenced.labels(self._kind).inc()

    def _counter(self, name: str, what: str, *labels: str) -> Counter:
        return Counter(f"{PREFIX}_{name}", what, ("kind", *labels), registry=self._registry)

    def _histogram(self, name: str, what: str, buckets: Sequence[float] = _SECONDS, *labels: str) -> Histogram:
        names = ("kind", *labels)
        return Histogram(f"{PREFIX}_{name}", what, names, registry=self._registry, buckets=buckets)

    def _gauge(self, name: str, what: str, values: dict[int, float]) -> GaugeMetricFamily:
        gauge = GaugeMetricFamily(f"{PREFIX}_{name}", what, labels=("kind", "partition"))
        for partition, value in values.items():
            gauge.add_metric((self._kind, str(partition)), value)
        return gauge
