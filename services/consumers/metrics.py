"""The metrics of a consumer process: every name, unit and label is in this file.

Knows no HTTP; the caller passes the registry. All names begin with `crossrec_consumer_`, all have the label `kind`.
"""

from collections import Counter as Counts
from collections.abc import Callable, Iterable, Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import GaugeMetricFamily

from services.consumers.dead_letters.record import DeadLetter, reason_kind
from services.consumers.progress import ConsumerProgress
from services.kafka.record_source import Record

PREFIX = "crossrec_consumer"

ANY = "any"
"""Event type where the handler reports none."""

_BATCH_RECORDS = (1, 10, 50, 100, 250, 500, 1000, 2000, 5000, 10_000)
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_DELAY_S = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 3600, 86_400)


class ConsumerMetrics:
    """Counters and histograms of one consumer, and gauges of its progress.

    Args:
        registry: registry of the metrics.
        kind: kind of consumer.
        progress: source of lag and freshness, read at each scrape.
        clock: seconds since 1970.
    """

    def __init__(
        self, registry: CollectorRegistry, kind: str, progress: ConsumerProgress, clock: Callable[[], float]
    ) -> None:
        self._registry, self._kind, self._clock, self._progress = registry, kind, clock, progress
        self._events = self._counter("events", "Records by type of entry and outcome.", "type", "outcome")
        self._dead_letters = self._counter("dead_letters", "Records that could not be folded, by reason.", "reason")
        self._batch = self._histogram("batch_records", "Records folded and committed at once.", _BATCH_RECORDS)
        self._fold_s = self._histogram("fold_seconds", "Seconds per fold of a batch, store calls included.")
        self._commit_s = self._histogram("commit_seconds", "Seconds to commit outputs and offsets of a batch.")
        self._store_s = self._histogram(
            "store_seconds", "Seconds per call of the store.", _SECONDS, "operation", "view"
        )
        self._rows = self._counter("store_rows", "Rows read, written or deleted.", "operation", "view")
        what = "Seconds from the broker's append of a batch's oldest record to its commit."
        self._delay_s = self._histogram("delay_seconds", what, _DELAY_S)
        self._failures = self._counter(
            "failures", "Failed attempts, by what was unavailable; rows: the store lost some.", "what"
        )
        self._rebalances = self._counter("rebalances", "Assignments of partitions.")
        self._fenced = self._counter("fenced_writes", "Writes rejected because a row holds a newer position.")
        self._dropped = self._counter("batches_dropped", "Batches dropped because their partitions may be reassigned.")
        what = "Records that expired in Kafka before they were folded; rows lack them."
        self._expired = self._counter("records_expired", what)
        what = "Texts in a script that the text encoder does not read; their vectors say little."
        self._unread = self._counter("unread_texts", what, "script")
        what = "Partitions that stand before a batch which cannot be read."
        self._stopped = Gauge(f"{PREFIX}_stopped_partitions", what, ("kind",), registry=registry)
        self._stopped.labels(kind).set(0)
        # Export zeros before the first occurrence, so that rates include it.
        self._events.labels(kind, ANY, "dead_lettered")
        for what in ("store", "kafka", "rows"):
            self._failures.labels(kind, what)
        for counter in (self._rebalances, self._fenced, self._dropped, self._expired):
            counter.labels(kind)
        registry.register(self)

    def collect(self) -> Iterable[GaugeMetricFamily]:
        """The gauges, as of now (the protocol of prometheus_client's collectors)."""
        now_s, progress = self._clock(), self._progress
        lags = progress.lags(now_s)
        text = "Records of an assigned partition that are not committed, as of the last poll."
        yield self._gauge("lag_records", text, {partition: lag.records for partition, lag in lags.items()})
        text = "Seconds since the append of the next record to commit of an assigned partition; 0 if there is none."
        yield self._gauge("lag_seconds", text, {partition: lag.seconds for partition, lag in lags.items()})
        fresh = GaugeMetricFamily(
            f"{PREFIX}_freshness_seconds",
            "Time since the broker appended the newest record that is committed; grows on a silent topic too.",
            labels=("kind",),
        )
        if progress.newest_committed_s is not None:
            fresh.add_metric((self._kind,), max(0.0, now_s - progress.newest_committed_s))
        yield fresh

    def on_assigned(self) -> None:
        """Partitions were assigned."""
        self._rebalances.labels(self._kind).inc()

    def on_stopped(self, partitions: int) -> None:
        """So many partitions stand before a batch that cannot be read."""
        self._stopped.labels(self._kind).set(partitions)

    def on_expired(self, records: int) -> None:
        """Records expired before they were folded."""
        self._expired.labels(self._kind).inc(records)

    def on_unread_text(self, script: str) -> None:
        """A text was encoded in a script that the text encoder does not read."""
        self._unread.labels(self._kind, script).inc()

    def on_folded(self, seconds: float) -> None:
        """A batch was folded in `seconds`."""
        self._fold_s.labels(self._kind).observe(seconds)

    def on_store_call(self, operation: str, view: str, rows: int, seconds: float) -> None:
        """The store was called."""
        self._store_s.labels(self._kind, operation, view).observe(seconds)
        self._rows.labels(self._kind, operation, view).inc(rows)

    def on_committed(
        self,
        records: Sequence[Record],
        dead_letters: Sequence[DeadLetter],
        counts: Counts[tuple[str, str]],
        seconds: float,
    ) -> None:
        """Records are committed.

        Args:
            records: the committed records.
            dead_letters: those of them that could not be folded.
            counts: number of the others by (type, outcome); may be empty.
            seconds: duration of the commit.
        """
        self._commit_s.labels(self._kind).observe(seconds)
        self._batch.labels(self._kind).observe(len(records))
        self._delay_s.labels(self._kind).observe(max(0.0, self._clock() - min(r.time_s for r in records)))
        known = counts or Counts({(ANY, "folded"): len(records) - len(dead_letters)})
        for (event_type, outcome), count in (known + Counts({(ANY, "dead_lettered"): len(dead_letters)})).items():
            self._events.labels(self._kind, event_type, outcome).inc(count)
        for reason, count in Counts(reason_kind(each.reason) for each in dead_letters).items():
            self._dead_letters.labels(self._kind, reason).inc(count)

    def on_failure(self, what: str) -> None:
        """An attempt failed."""
        self._failures.labels(self._kind, what).inc()

    def on_dropped(self) -> None:
        """A batch was dropped."""
        self._dropped.labels(self._kind).inc()

    def on_fenced(self) -> None:
        """A write was rejected by the store's fence."""
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
