"""The metrics of all worker processes as one: the supervisor requests each worker's over a pipe, and sums them.

A dead worker's last counters stay in the totals: counters never fall.
"""

import math
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection
from statistics import fmean

from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric

TIMEOUT_S = 1.0
"""Seconds that a worker has to respond; after that its previous metrics are used."""

Aggregation = Callable[[Sequence[float]], float]
"""Reduces the values of several processes to one."""

_CUMULATIVE = ("counter", "histogram", "summary")


class MetricsResponder:
    """The worker's end: responds to requests for metrics until the pipe is closed.

    Args:
        pipe: to the supervisor.
    """

    def __init__(self, pipe: Connection) -> None:
        self.registry = CollectorRegistry()
        self._pipe, self._lock = pipe, threading.Lock()
        threading.Thread(target=self._respond, name="metrics", daemon=True).start()

    def report(self) -> None:
        """Send the current metrics; unrequested before the worker ends."""
        with suppress(OSError), self._lock:  # the supervisor may have ended
            self._pipe.send(list(self.registry.collect()))

    def _respond(self) -> None:
        with suppress(EOFError, OSError):
            while True:
                self._pipe.recv()
                self.report()


class _WorkerMetrics:
    """The supervisor's end for one worker; used by one thread at a time."""

    def __init__(self, pipe: Connection) -> None:
        self.lock, self.last = threading.Lock(), list[Metric]()
        self._pipe = pipe

    def request(self) -> None:
        """Request the worker's metrics, and receive them if they come in time."""
        with suppress(EOFError, OSError):
            self._receive(0)  # a response that was too late for the previous request
            self._pipe.send(None)
            self._receive(TIMEOUT_S)

    def close(self) -> None:
        """Receive what the worker sent before it ended, and close the pipe."""
        with suppress(EOFError, OSError):
            while self._receive(0):
                pass
        self._pipe.close()

    def _receive(self, timeout_s: float) -> bool:
        received = self._pipe.poll(timeout_s)
        if received:
            self.last = self._pipe.recv()
        return received


class MetricsAggregator:
    """The metrics of all workers as one (a prometheus_client collector). Safe between threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._workers: dict[int, _WorkerMetrics] = {}
        self._ended: list[Metric] = []

    def on_started(self, pid: int, pipe: Connection) -> None:
        """A worker has started."""
        with self._lock:
            self._workers[pid] = _WorkerMetrics(pipe)

    def on_exit(self, pid: int) -> None:
        """A worker has ended."""
        worker = self._workers[pid]
        with worker.lock:
            worker.close()
        with self._lock:
            del self._workers[pid]
            self._ended = aggregate([self._ended, select_cumulative(worker.last)])

    def collect(self) -> Iterable[Metric]:
        """The metrics, as of now."""
        for worker in list(self._workers.values()):
            with worker.lock:
                worker.request()
        with self._lock:
            return aggregate([self._ended, *(worker.last for worker in self._workers.values())])


def mean(values: Sequence[float]) -> float:
    """The mean of the values that are numbers; NaN if there are none."""
    numbers = [value for value in values if not math.isnan(value)]
    return fmean(numbers) if numbers else float("nan")


GAUGE_AGGREGATIONS: Mapping[str, Aggregation] = {
    "crossrec_ranking_model_weight": max,
    "crossrec_ranking_model_problems": max,
    "crossrec_ranking_shadow_score_difference": mean,
    "crossrec_ranking_shadow_probability_difference": mean,
    "crossrec_ranking_shadow_rank_correlation": mean,
    "crossrec_ranking_shadow_top10_overlap": mean,
}
"""Gauges that are not summed: values that are the same in every worker, and means."""


def aggregate(parts: Iterable[Iterable[Metric]]) -> list[Metric]:
    """The metrics of several processes as one: sums by name and labels, or the aggregation in GAUGE_AGGREGATIONS.

    Creation times (`_created`) are left out: they differ between processes.
    """
    families: dict[str, Metric] = {}
    values: dict[str, dict[tuple[str, tuple[tuple[str, str], ...]], list[float]]] = {}
    for part in parts:
        for metric in part:
            families.setdefault(metric.name, metric)
            samples = values.setdefault(metric.name, {})
            for sample in metric.samples:
                if not sample.name.endswith("_created"):
                    samples.setdefault((sample.name, tuple(sample.labels.items())), []).append(sample.value)
    return [_metric(family, values[name], GAUGE_AGGREGATIONS.get(name, sum)) for name, family in families.items()]


def select_cumulative(metrics: Iterable[Metric]) -> list[Metric]:
    """The metrics that only grow, and therefore stay in the totals after their process has ended."""
    return [metric for metric in metrics if metric.type in _CUMULATIVE]


def _metric(
    family: Metric, values: Mapping[tuple[str, tuple[tuple[str, str], ...]], list[float]], aggregation: Aggregation
) -> Metric:
    metric = Metric(family.name, family.documentation, family.type, family.unit)
    for (name, labels), samples in values.items():
        metric.add_sample(name, dict(labels), aggregation(samples))
    return metric
