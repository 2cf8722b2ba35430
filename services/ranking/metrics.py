"""The metrics of the ranking server: every name, unit and label is here and, about models, in serving/metrics.py.

Knows no HTTP; the registry is the caller's. All names begin with `crossrec_ranking_`. Of several worker processes each
has its own; `merging.py` makes one of them, and has to know of gauges that must not be summed.
"""

from collections.abc import Iterable, Sequence

import grpc
from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from crossrec.ranking.v1 import ranking_pb2 as pb
from services.ranking.admission.admission import Admission
from services.ranking.cache.item_cache import ItemCache
from services.ranking.histogram import Distribution
from services.ranking.outcome import Answered, Ranking
from services.ranking.stage_timings import WAIT

PREFIX = "crossrec_ranking"

MAX_SCENARIOS = 20
"""Scenarios with a label of their own, the first ones seen; more are OTHER, and as sources they are left out."""

OTHER = "other"

_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_STAGE_SECONDS = (0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1)
_AGES_S = (0.1, 0.5, 1, 2, 5, 10, 30, 60, 300, 1800)
_EVENT_AGES_S = (1, 5, 10, 30, 60, 300, 1800, 3600, 21_600, 86_400, 604_800, 2_592_000)
_CANDIDATES = (1, 10, 50, 100, 200, 500, 1000, 2000)
_PROBABILITIES = (0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 0.9)
_WEIGHTS = (0.1, 0.25, 0.5, 0.75, 0.9)

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
    """What is counted and measured of requests: an observer of the pipeline and of the server's calls.

    Args:
        registry: where the metrics go.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry, self._names = registry, dict[str, str]()
        what = "Rank calls by the code of their answer; CANCELLED where nobody waited for it any more."
        self._requests = self._counter("requests", what, "code")
        self._request_s = self._histogram("request_seconds", "A Rank call in the server, waiting included.", _SECONDS)
        self._stage_s = self._histogram("stage_seconds", "A stage of an answered request.", _STAGE_SECONDS, "stage")
        self._waiting_s = self._histogram("waiting_seconds", "Waiting for the turn, of answered requests.", _SECONDS)
        self._candidates = self._histogram("candidates", "Candidates of an answered request.", _CANDIDATES)
        self._answers = self._counter("answers", "Answers by model and arm.", "model", "arm")
        what = "Answers that had to do without something, by reason; one answer may have several."
        self._degraded = self._counter("degraded", what, "reason")
        what = "Age of the oldest item row that an answer rests on: since it was read or known to be unchanged."
        self._item_age_s = self._histogram("item_age_seconds", what, _AGES_S)
        what = "Time from the newest event in a user's rows to the request."
        self._event_age_s = self._histogram("user_event_age_seconds", what, _EVENT_AGES_S)
        what = f"Probabilities of candidates by target scenario; those beyond {MAX_SCENARIOS} are `{OTHER}`."
        self._probability = Distribution(f"{PREFIX}_probability", what, ("scenario",), _PROBABILITIES)
        registry.register(self._probability)
        what = f"Transfer weights by target and source scenario; sources beyond {MAX_SCENARIOS} are left out."
        self._weight = self._histogram("transfer_weight", what, _WEIGHTS, "scenario", "source")
        # What has not happened yet is 0, not absent: rates see the first time, too.
        for code in _CODES:
            self._requests.labels(code.name)
        for reason in _REASONS.values():
            self._degraded.labels(reason)

    def called(self, method: str, code: grpc.StatusCode, seconds: float) -> None:
        """A call has ended."""
        del method  # there is one
        self._requests.labels(code.name).inc()
        self._request_s.observe(seconds)

    def answered(self, answered: Answered) -> None:
        """An answer is made."""
        for stage, begin_ns, end_ns in answered.stages.steps:
            (self._waiting_s if stage == WAIT else self._stage_s.labels(stage)).observe((end_ns - begin_ns) / 1e9)
        self._candidates.observe(len(answered.request.item_ids))
        self._answers.labels(answered.served.model.version, answered.served.arm).inc()
        for degradation in answered.degraded.reasons:
            self._degraded.labels(_REASONS[degradation.reason]).inc()
        if answered.ranking is not None:
            self._ranked(answered.ranking, answered.request.time_s)

    def _ranked(self, ranking: Ranking, time_s: float) -> None:
        self._item_age_s.observe(ranking.rows.oldest_item_read_s)
        if ranking.rows.newest_user_event_s > 0:
            self._event_age_s.observe(max(0.0, time_s - ranking.rows.newest_user_event_s))
        sources = ranking.scenarios.ids
        target = self._name(ranking.target) if ranking.target in sources else OTHER
        self._probability.add((target,), ranking.scores.probability)
        weights = ranking.scores.transfer[:MAX_SCENARIOS].tolist()
        for source, weight in zip(map(self._name, sources), weights, strict=False):
            if source != OTHER:
                self._weight.labels(target, source).observe(weight)

    def _name(self, scenario: str) -> str:
        """The label of a known scenario; what a caller made up never is one."""
        name = self._names.get(scenario)
        if name is None and len(self._names) < MAX_SCENARIOS:
            name = self._names.setdefault(scenario, scenario)
        return name or OTHER

    def _counter(self, name: str, what: str, *labels: str) -> Counter:
        return Counter(f"{PREFIX}_{name}", what, labels, registry=self._registry)

    def _histogram(self, name: str, what: str, buckets: Sequence[float], *labels: str) -> Histogram:
        return Histogram(f"{PREFIX}_{name}", what, labels, registry=self._registry, buckets=buckets)


class LoadMetrics:
    """Looks at admission and item cache when it is asked (the protocol of prometheus_client's collectors).

    Args:
        admission: lets requests in.
        items: the item cache.
    """

    def __init__(self, admission: Admission, items: ItemCache) -> None:
        self._admission, self._items = admission, items

    def collect(self) -> Iterable[Metric]:
        """The metrics, as of now."""
        what = "Requests in the server that wait for their turn or have it."
        yield GaugeMetricFamily(f"{PREFIX}_admitted", what, value=self._admission.inside)
        what = "Requests that may be in the server at once; follows the waiting."
        yield GaugeMetricFamily(f"{PREFIX}_admission_limit", what, value=self._admission.limit)
        shed = CounterMetricFamily(f"{PREFIX}_shed", "Requests refused because there was no room.", labels=["priority"])
        for priority, count in self._admission.refused.items():
            shed.add_metric([priority.value], count)
        yield shed
        what = "Items that requests asked for: in memory and young enough, or to be read from the store."
        asked = CounterMetricFamily(f"{PREFIX}_item_cache_requests", what, labels=["outcome"])
        asked.add_metric(["hit"], self._items.hits)
        asked.add_metric(["miss"], self._items.misses)
        yield asked
