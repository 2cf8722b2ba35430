"""Aggregation of worker metrics in the supervisor, over real pipes."""

import math
from multiprocessing import Pipe

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import Metric

from services.ranking.process.metrics_aggregation import (
    GAUGE_AGGREGATIONS,
    MetricsAggregator,
    MetricsResponder,
    aggregate,
    mean,
    select_cumulative,
)


class Worker:
    """A worker's end of the pipe, with two metrics."""

    def __init__(self, aggregator: MetricsAggregator, pid: int) -> None:
        supervisor_end, worker_end = Pipe()
        aggregator.on_started(pid, supervisor_end)
        self.pipe, self.responder = worker_end, MetricsResponder(worker_end)
        self.calls = Counter("calls", "Calls.", registry=self.responder.registry)
        self.waiting = Gauge("waiting", "Now.", registry=self.responder.registry)


def registry_of(aggregator: MetricsAggregator) -> CollectorRegistry:
    registry = CollectorRegistry()
    registry.register(aggregator)
    return registry


def test_every_scrape_collects_from_all_workers() -> None:
    """Their current values."""
    aggregator = MetricsAggregator()
    registry, workers = registry_of(aggregator), [Worker(aggregator, pid) for pid in (1, 2)]
    for expected in (2, 4):
        for worker in workers:
            worker.calls.inc()
        assert expected == registry.get_sample_value("calls_total")


def test_the_last_report_stays_in_the_totals() -> None:
    """The report that a worker sends before it exits; its gauges are removed."""
    aggregator = MetricsAggregator()
    registry, workers = registry_of(aggregator), [Worker(aggregator, pid) for pid in (1, 2)]
    for worker in workers:
        worker.calls.inc(3)
        worker.waiting.set(1)
    workers[0].responder.report()
    aggregator.on_exit(1)
    assert (6, 1) == (registry.get_sample_value("calls_total"), registry.get_sample_value("waiting"))


def test_a_hung_or_dead_worker_counts_with_its_last_report() -> None:
    """The sum never decreases, and a scrape takes no longer than the time-out."""
    aggregator = MetricsAggregator()
    (supervisor_end, worker_end), registry, worker_registry = Pipe(), registry_of(aggregator), CollectorRegistry()
    aggregator.on_started(1, supervisor_end)
    Counter("calls", "Calls.", registry=worker_registry).inc(5)
    worker_end.send(list(worker_registry.collect()))
    assert 5 == registry.get_sample_value("calls_total")
    worker_end.close()
    assert 5 == registry.get_sample_value("calls_total")
    aggregator.on_exit(1)
    assert 5 == registry.get_sample_value("calls_total")


WEIGHT = "crossrec_ranking_model_weight"


def metrics_of(code: str, seconds: float, waiting: float, weight: float) -> list[Metric]:
    """The metrics of one process."""
    registry = CollectorRegistry()
    Counter("calls", "Calls.", ("code",), registry=registry).labels(code).inc(2)
    Histogram("took", "Time.", registry=registry, buckets=(0.1, 1)).observe(seconds)
    Gauge("waiting", "Now.", registry=registry).set(waiting)
    Gauge(WEIGHT, "Of users.", registry=registry).set(weight)
    return list(registry.collect())


def values(metrics: list[Metric]) -> dict[str, float]:
    return {f"{s.name}{dict(sorted(s.labels.items()))}": s.value for metric in metrics for s in metric.samples}


def test_counters_and_histograms_are_summed() -> None:
    """By name and labels; the weight of a model is equal in all workers."""
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
    } == values(
        aggregate(
            [metrics_of("OK", 0.0625, 1, 0.5), metrics_of("INTERNAL", 0.0625, 2, 0.5), metrics_of("OK", 0.625, 3, 0.5)]
        )
    )


def test_counters_outlive_their_process() -> None:
    """Gauges are removed."""
    first, second = metrics_of("OK", 0.5, 1, 0.5), metrics_of("OK", 0.5, 1, 0.5)
    found = values(aggregate([select_cumulative(first), second]))
    assert (4, 1) == (found["calls_total{'code': 'OK'}"], found["waiting{}"])


def test_a_mean_ignores_workers_without_a_value() -> None:
    """Workers whose shadow has scored no request report NaN."""
    assert 0.5 == mean([0.25, float("nan"), 0.75])
    assert math.isnan(mean([float("nan")]))
    assert mean is GAUGE_AGGREGATIONS["crossrec_ranking_shadow_top10_overlap"]
