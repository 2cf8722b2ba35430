"""Prometheus metrics of the ranking server: every name, unit and label is here or, for models, in model/metrics.py.

Knows no HTTP; the registry is the caller's. All names begin with `crossrec_ranking_`. Each worker process has its own
metrics; `process/metrics_aggregation.py` aggregates them, and has to list the gauges that must not be summed.
"""

from collections.abc import Iterable, Sequence

import grpc
from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from crossrec.ranking.v1 import ranking_pb2 as pb
from services.ranking.admission.admission import AdmissionController
from services.ranking.cache.item_cache import ItemCache
from services.ranking.histogram import BatchHistogram
from services.ranking.outcome import RankOutcome, RankTrace
from services.ranking.request_state import WAIT_STAGE
from services.ranking.served_log.log import ServedLog

PREFIX = "crossrec_ranking"

MAX_SCENARIOS = 20
"""Scenarios with a label of their own, the first ones seen; further ones are OTHER, and left out as sources."""

OTHER = "other"

_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_STAGE_SECONDS = (0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1)
_AGES_S = (0.1, 0.5, 1, 2, 5, 10, 30, 60, 300, 1800)
_EVENT_AGES_S = (1, 5, 10, 30, 60, 300, 1800, 3600, 21_600, 86_400, 604_800, 2_592_000)
_CANDIDATES = (1, 10, 50, 100, 200, 500, 1000, 2000)
_PROBABILITIES = (0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 0.9)
_SHARES = (0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 0.9)

_CODES = (
    grpc.StatusCode.OK,
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.INTERNAL,
    grpc.StatusCode.CANCELLED,
)

_REASONS = {
    value.number: name.removeprefix("DEGRADATION_REASON_").lower()
    for name, value in pb.DegradationReason.DESCRIPTOR.values_by_name.items()
    if value.number
}


class RankingMetrics:
    """Metrics of requests: an observer of the pipeline and of the server's calls.

    Args:
        registry: gets the metrics.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry, self._names = registry, dict[str, str]()
        what = "Rank calls by status code; CANCELLED if the client had left."
        self._requests = self._counter("requests", what, "code")
        self._request_s = self._histogram(
            "request_seconds", "Time of a Rank call in the server, waiting included.", _SECONDS
        )
        self._stage_s = self._histogram(
            "stage_seconds", "Time of a stage of an answered request.", _STAGE_SECONDS, "stage"
        )
        self._waiting_s = self._histogram("waiting_seconds", "Time that answered requests waited for a slot.", _SECONDS)
        self._candidates = self._histogram("candidates", "Candidates of an answered request.", _CANDIDATES)
        self._answers = self._counter("answers", "Answers by model and arm.", "model", "arm")
        what = "Degraded answers by reason; one answer may have several."
        self._degraded = self._counter("degraded", what, "reason")
        what = "Age of the oldest item row behind an answer: time since it was read or known to be unchanged."
        self._item_age_s = self._histogram("item_age_seconds", what, _AGES_S)
        what = "Time from the newest event in a user's rows to the request."
        self._event_age_s = self._histogram("user_event_age_seconds", what, _EVENT_AGES_S)
        what = f"Probabilities of candidates by target scenario; scenarios beyond {MAX_SCENARIOS} are `{OTHER}`."
        self._probability = BatchHistogram(f"{PREFIX}_probability", what, ("scenario",), _PROBABILITIES)
        registry.register(self._probability)
        what = f"Transfer weight over the sum of the weights; sources beyond {MAX_SCENARIOS} are left out."
        self._share = self._histogram("transfer_share", what, _SHARES, "scenario", "source")
        # Labels that have not occurred yet start at 0, so that rates see the first occurrence.
        for code in _CODES:
            self._requests.labels(code.name)
        for reason in _REASONS.values():
            self._degraded.labels(reason)

    def on_call(self, method: str, code: grpc.StatusCode, seconds: float) -> None:
        """A call has ended."""
        del method  # there is one
        self._requests.labels(code.name).inc()
        self._request_s.observe(seconds)

    def on_ranked(self, outcome: RankOutcome) -> None:
        """An answer is ready."""
        for stage, begin_ns, end_ns in outcome.timings.steps:
            (self._waiting_s if stage == WAIT_STAGE else self._stage_s.labels(stage)).observe((end_ns - begin_ns) / 1e9)
        self._candidates.observe(len(outcome.query.item_ids))
        self._answers.labels(outcome.assignment.model.version, outcome.assignment.arm).inc()
        for degradation in outcome.degradations.reasons:
            self._degraded.labels(_REASONS[degradation.reason]).inc()
        if outcome.trace is not None:
            self._observe_trace(outcome.trace, outcome.query.time_s)

    def _observe_trace(self, trace: RankTrace, time_s: float) -> None:
        self._item_age_s.observe(trace.rows.oldest_item_read_s)
        if trace.rows.newest_user_event_s > 0:
            self._event_age_s.observe(max(0.0, time_s - trace.rows.newest_user_event_s))
        sources = trace.scenarios.ids
        target = self._label(trace.target) if trace.target in sources else OTHER
        self._probability.observe((target,), trace.scores.probability)
        shares = trace.scores.share[:MAX_SCENARIOS].tolist()
        for source, share in zip(map(self._label, sources), shares, strict=False):
            if source != OTHER:
                self._share.labels(target, source).observe(share)

    def _label(self, scenario: str) -> str:
        """The label of a known scenario. Callers pass known scenarios only, so that clients cannot create labels."""
        name = self._names.get(scenario)
        if name is None and len(self._names) < MAX_SCENARIOS:
            name = self._names.setdefault(scenario, scenario)
        return name or OTHER

    def _counter(self, name: str, help_text: str, *labels: str) -> Counter:
        return Counter(f"{PREFIX}_{name}", help_text, labels, registry=self._registry)

    def _histogram(self, name: str, help_text: str, buckets: Sequence[float], *labels: str) -> Histogram:
        return Histogram(f"{PREFIX}_{name}", help_text, labels, registry=self._registry, buckets=buckets)


class AdmissionMetrics:
    """Collects the state of admission control (a prometheus_client collector).

    Args:
        admission: admission control of the server.
    """

    def __init__(self, admission: AdmissionController) -> None:
        self._admission = admission

    def collect(self) -> Iterable[Metric]:
        """The metrics, as of now."""
        what = "Requests in the server that wait for a slot or hold one."
        yield GaugeMetricFamily(f"{PREFIX}_admitted", what, value=self._admission.admitted)
        what = "Requests that may be in the server at the same time; adapts to the wait."
        yield GaugeMetricFamily(f"{PREFIX}_admission_limit", what, value=self._admission.limit)
        shed = CounterMetricFamily(f"{PREFIX}_shed", "Requests rejected at the admission limit.", labels=["priority"])
        for priority, count in self._admission.rejected.items():
            shed.add_metric([priority.value], count)
        yield shed


class ItemCacheMetrics:
    """Collects the counters of the item cache (a prometheus_client collector).

    Args:
        items: the item cache.
    """

    def __init__(self, items: ItemCache) -> None:
        self._items = items

    def collect(self) -> Iterable[Metric]:
        """The metrics, as of now."""
        what = "Items of requests: hit (in memory and fresh) or miss (read from the store)."
        requests = CounterMetricFamily(f"{PREFIX}_item_cache_requests", what, labels=["outcome"])
        requests.add_metric(["hit"], self._items.hits)
        requests.add_metric(["miss"], self._items.misses)
        yield requests


class ServedLogMetrics:
    """Collects the counters of the served log (a prometheus_client collector).

    Args:
        log: the served log.
    """

    def __init__(self, log: ServedLog) -> None:
        self._log = log

    def collect(self) -> Iterable[Metric]:
        """The metrics, as of now."""
        what = "Sampled answers by outcome of their record."
        records = CounterMetricFamily("crossrec_ranking_served_records", what, labels=("outcome",))
        outcomes = {"written": self._log.written, "dropped": self._log.dropped, "failed": self._log.failed}
        for outcome, count in outcomes.items():
            records.add_metric((outcome,), count)
        yield records
