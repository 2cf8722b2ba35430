"""The metrics of workers at their supervisor, over real pipes."""

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
    """A worker's end, with something to count."""

    def __init__(self, aggregator: MetricsAggregator, pid: int) -> None:
        ours, theirs = Pipe()
        aggregator.on_started(pid, ours)
        self.pipe, self.telling = theirs, MetricsResponder(theirs)
        self.calls = Counter("calls", "Calls.", registry=self.telling.registry)
        self.waiting = Gauge("waiting", "Now.", registry=self.telling.registry)


def registry_of(aggregator: MetricsAggregator) -> CollectorRegistry:
    registry = CollectorRegistry()
    registry.register(aggregator)
    return registry


def test_every_look_asks_all_workers() -> None:
    """The current metrics."""
    aggregator = MetricsAggregator()
    registry, workers = registry_of(aggregator), [Worker(aggregator, pid) for pid in (1, 2)]
    for expected in (2, 4):
        for worker in workers:
            worker.calls.inc()
        assert expected == registry.get_sample_value("calls_total")


def test_the_last_report_stays_in_the_totals() -> None:
    """The unrequested report of a worker before it ends; its gauges end with it."""
    aggregator = MetricsAggregator()
    registry, workers = registry_of(aggregator), [Worker(aggregator, pid) for pid in (1, 2)]
    for worker in workers:
        worker.calls.inc(3)
        worker.waiting.set(1)
    workers[0].telling.report()
    aggregator.on_exit(1)
    assert (6, 1) == (registry.get_sample_value("calls_total"), registry.get_sample_value("waiting"))


def test_a_worker_that_hangs_or_died_counts_as_when_it_last_answered() -> None:
    """The sum never falls, and a scrape takes no longer than the time-out."""
    aggregator = MetricsAggregator()
    (ours, theirs), registry, told = Pipe(), registry_of(aggregator), CollectorRegistry()
    aggregator.on_started(1, ours)
    Counter("calls", "Calls.", registry=told).inc(5)
    theirs.send(list(told.collect()))
    assert 5 == registry.get_sample_value("calls_total")
    theirs.close()
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
    } == values(
        aggregate(
            [metrics_of("OK", 0.0625, 1, 0.5), metrics_of("INTERNAL", 0.0625, 2, 0.5), metrics_of("OK", 0.625, 3, 0.5)]
        )
    )


def test_counters_outlive_their_process() -> None:
    """Gauges do not."""
    first, second = metrics_of("OK", 0.5, 1, 0.5), metrics_of("OK", 0.5, 1, 0.5)
    found = values(aggregate([select_cumulative(first), second]))
    assert (4, 1) == (found["calls_total{'code': 'OK'}"], found["waiting{}"])


def test_a_mean_is_of_those_that_have_one() -> None:
    """Workers whose shadow has scored no request report NaN."""
    assert 0.5 == mean([0.25, float("nan"), 0.75])
    assert math.isnan(mean([float("nan")]))
    assert mean is GAUGE_AGGREGATIONS["crossrec_ranking_shadow_top10_overlap"]
