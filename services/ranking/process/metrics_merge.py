"""One set of metrics made of those of several worker processes. Pure; knows no process."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from statistics import fmean

from prometheus_client.core import Metric

Combine = Callable[[Sequence[float]], float]
"""Makes one value of those of several processes."""

_CUMULATIVE = ("counter", "histogram", "summary")


def mean(values: Sequence[float]) -> float:
    """The mean of the values that are numbers; NaN if none is."""
    numbers = [value for value in values if not math.isnan(value)]
    return fmean(numbers) if numbers else float("nan")


COMBINED: Mapping[str, Combine] = {
    "crossrec_ranking_model_weight": max,
    "crossrec_ranking_model_problems": max,
    "crossrec_ranking_shadow_score_difference": mean,
    "crossrec_ranking_shadow_probability_difference": mean,
    "crossrec_ranking_shadow_rank_correlation": mean,
    "crossrec_ranking_shadow_top10_overlap": mean,
}
"""Gauges that are not summed: what is so in every worker, and means."""


def merged(parts: Iterable[Iterable[Metric]]) -> list[Metric]:
    """The metrics of `parts` as one: by name and labels, sums, or for a gauge what COMBINED says.

    When counting began (`_created`) is left out: it is not the same for all.
    """
    families: dict[str, Metric] = {}
    values: dict[str, dict[tuple[str, tuple[tuple[str, str], ...]], list[float]]] = {}
    for part in parts:
        for metric in part:
            families.setdefault(metric.name, metric)
            found = values.setdefault(metric.name, {})
            for sample in metric.samples:
                if not sample.name.endswith("_created"):
                    found.setdefault((sample.name, tuple(sample.labels.items())), []).append(sample.value)
    return [_metric(family, values[name], COMBINED.get(name, sum)) for name, family in families.items()]


def cumulative(metrics: Iterable[Metric]) -> list[Metric]:
    """Those that only ever grow, and so count on when their process has ended."""
    return [metric for metric in metrics if metric.type in _CUMULATIVE]


def _metric(
    family: Metric, values: Mapping[tuple[str, tuple[tuple[str, str], ...]], list[float]], combine: Combine
) -> Metric:
    made = Metric(family.name, family.documentation, family.type, family.unit)
    for (name, labels), found in values.items():
        made.add_sample(name, dict(labels), combine(found))
    return made
