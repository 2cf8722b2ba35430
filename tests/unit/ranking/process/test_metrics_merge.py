"""Metrics of several processes as one."""

import math

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import Metric

from services.ranking.process.metrics_merge import COMBINED, cumulative, mean, merged

WEIGHT = "crossrec_ranking_model_weight"


def told(code: str, seconds: float, waiting: float, weight: float) -> list[Metric]:
    """What one process tells."""
    registry = CollectorRegistry()
    Counter("calls", "Calls.", ("code",), registry=registry).labels(code).inc(2)
    Histogram("took", "Time.", registry=registry, buckets=(0.1, 1)).observe(seconds)
    Gauge("waiting", "Now.", registry=registry).set(waiting)
    Gauge(WEIGHT, "Of users.", registry=registry).set(weight)
    return list(registry.collect())


def values(metrics: list[Metric]) -> dict[str, float]:
    return {f"{s.name}{dict(sorted(s.labels.items()))}": s.value for metric in metrics for s in metric.samples}


def test_what_is_counted_adds_up() -> None:
    """By name and labels; the weight of a model is the same in all."""
    assert {
        "calls_total{'code': 'OK'}": 4,
        "calls_total{'code': 'INTERNAL'}": 2,
        "took_bucket{'le': '0.1'}": 2,
        "took_bucket{'le': '1.0'}": 3,
        "took_bucket{'le': '+Inf'}": 3,
        "took_count{}": 3,
        "took_sum{}": 0.75,
        "waiting{}": 6,
        f"{WEIGHT}{{}}": 0.5,
    } == values(merged([told("OK", 0.0625, 1, 0.5), told("INTERNAL", 0.0625, 2, 0.5), told("OK", 0.625, 3, 0.5)]))


def test_what_was_counted_outlives_its_process() -> None:
    """Gauges do not."""
    first, second = told("OK", 0.5, 1, 0.5), told("OK", 0.5, 1, 0.5)
    found = values(merged([cumulative(first), second]))
    assert (4, 1) == (found["calls_total{'code': 'OK'}"], found["waiting{}"])


def test_a_mean_is_of_those_that_have_one() -> None:
    """Workers whose shadow has scored nothing say NaN."""
    assert 0.5 == mean([0.25, float("nan"), 0.75])
    assert math.isnan(mean([float("nan")]))
    assert mean is COMBINED["crossrec_ranking_shadow_top10_overlap"]
