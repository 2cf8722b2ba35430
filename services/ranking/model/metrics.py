"""Prometheus metrics of the models that serve: every name, unit and label.

Knows no HTTP; the registry is the caller's. All names begin with `crossrec_ranking_`.
"""

from collections.abc import Iterable
from dataclasses import fields

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from services.ranking.model.agreement import Agreement
from services.ranking.model.watcher import WatchedModels

PREFIX = "crossrec_ranking"
_HELP_TEXTS = {
    "score_difference": "Mean absolute difference between the scores of a shadow and of the served model.",
    "probability_difference": "Mean absolute difference between the probabilities of a shadow and of the served model.",
    "rank_correlation": "Mean rank correlation (Spearman) of a shadow and the served model over the items.",
    "top10_overlap": "Mean share of the ten best items that a shadow and the served model have in common.",
}


class ModelMetrics:
    """Collects the state of the models (a prometheus_client collector).

    Args:
        models: the models that serve.
    """

    def __init__(self, models: WatchedModels) -> None:
        self._models = models

    def collect(self) -> Iterable[Metric]:
        """The metrics, as of now."""
        deployment = self._models.deployment
        what = "Share of the users that a model ranks for; 0 for a shadow."
        weight = GaugeMetricFamily(f"{PREFIX}_model_weight", what, labels=("model", "arm"))
        for arm in deployment.arms:
            weight.add_metric((arm.assignment.model.version, arm.assignment.arm), arm.weight)
        if deployment.shadow is not None:
            weight.add_metric((deployment.shadow.version, "shadow"), 0.0)
        yield weight
        what = "Models or serving files that should be used and cannot be, as of the last poll of the registry."
        yield GaugeMetricFamily(f"{PREFIX}_model_problems", what, value=len(self._models.problems))
        what = "Changes of the models that serve, in all workers together."
        yield CounterMetricFamily(f"{PREFIX}_model_swaps", what, value=self._models.swaps)
        yield from self._shadow()

    def _shadow(self) -> Iterable[Metric]:
        labels, comparisons = ("served", "candidate"), self._models.shadow.comparisons()
        what = "Requests offered to a shadow by outcome."
        requests = CounterMetricFamily(f"{PREFIX}_shadow_requests", what, labels=(*labels, "outcome"))
        for comparison in comparisons:
            outcomes = {"compared": comparison.requests, "failed": comparison.failed, "dropped": comparison.dropped}
            for outcome, count in outcomes.items():
                requests.add_metric((comparison.served, comparison.candidate, outcome), count)
        yield requests
        for field in fields(Agreement):
            gauge = GaugeMetricFamily(f"{PREFIX}_shadow_{field.name}", _HELP_TEXTS[field.name], labels=labels)
            for comparison in comparisons:
                gauge.add_metric((comparison.served, comparison.candidate), getattr(comparison.mean, field.name))
            yield gauge
