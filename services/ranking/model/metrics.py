"""Prometheus metrics of the models that serve: every name, unit and label is in this file.

Knows no HTTP; the registry is the caller's. All names begin with `crossrec_ranking_`.
"""

from collections.abc import Iterable
from dataclasses import fields

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from services.ranking.model.agreement import Agreement
from services.ranking.model.watcher import WatchedModels

PREFIX = "crossrec_ranking"
_MEANINGS = {
    "score_difference": "Mean absolute difference of the scores of a candidate and of what served.",
    "probability_difference": "Mean absolute difference of the probabilities.",
    "rank_correlation": "Mean of Spearman's rank correlation over the items of a request.",
    "top10_overlap": "Mean share of the ten best items that both have.",
}


class ModelMetrics:
    """Looks at the models when it is asked (the protocol of prometheus_client's collectors).

    Args:
        models: what serves.
    """

    def __init__(self, models: WatchedModels) -> None:
        self._models = models

    def collect(self) -> Iterable[Metric]:
        """The metrics, as of now."""
        serving = self._models.serving
        what = "Share of the users that a model ranks for; a shadow has 0."
        weight = GaugeMetricFamily(f"{PREFIX}_model_weight", what, labels=("model", "arm"))
        for arm in serving.arms:
            weight.add_metric((arm.served.model.version, arm.served.arm), arm.weight)
        if serving.shadow is not None:
            weight.add_metric((serving.shadow.version, "shadow"), 0.0)
        yield weight
        what = "Models or serving files that should be in use and cannot be, by the last look at the registry."
        yield GaugeMetricFamily(f"{PREFIX}_model_problems", what, value=len(self._models.problems))
        what = "Times that what serves changed, in all workers together."
        yield CounterMetricFamily(f"{PREFIX}_model_swaps", what, value=self._models.swaps)
        yield from self._shadow()

    def _shadow(self) -> Iterable[Metric]:
        labels, comparisons = ("served", "candidate"), self._models.shadow.comparisons()
        what = "Requests offered to a shadow, by what became of them."
        requests = CounterMetricFamily(f"{PREFIX}_shadow_requests", what, labels=(*labels, "outcome"))
        for found in comparisons:
            outcomes = {"compared": found.requests, "failed": found.failed, "dropped": found.dropped}
            for outcome, count in outcomes.items():
                requests.add_metric((found.served, found.candidate, outcome), count)
        yield requests
        for field in fields(Agreement):
            gauge = GaugeMetricFamily(f"{PREFIX}_shadow_{field.name}", _MEANINGS[field.name], labels=labels)
            for found in comparisons:
                gauge.add_metric((found.served, found.candidate), getattr(found.mean, field.name))
            yield gauge
