"""A histogram that takes all values of a request at once: prometheus_client's own takes them one by one."""

import threading
from collections.abc import Iterable, Sequence

import numpy as np
from prometheus_client.core import HistogramMetricFamily


class Distribution:
    """Values by label in a few buckets (the protocol of prometheus_client's collectors). Safe between threads.

    Args:
        name: of the metric.
        what: it measures.
        labels: names of the labels.
        bounds: upper bounds of the buckets, ascending, the last one aside.
    """

    def __init__(self, name: str, what: str, labels: Sequence[str], bounds: Sequence[float]) -> None:
        self._name, self._what, self._labels = name, what, tuple(labels)
        self._bounds = np.array(bounds, np.float32)
        self._names = [*(str(float(bound)) for bound in bounds), "+Inf"]
        self._lock = threading.Lock()
        self._counts: dict[tuple[str, ...], np.ndarray] = {}
        self._sums: dict[tuple[str, ...], float] = {}

    def add(self, labels: tuple[str, ...], values: np.ndarray) -> None:
        """Take values."""
        counts = np.bincount(self._bounds.searchsorted(values), minlength=len(self._names))
        total = float(values.sum())
        with self._lock:
            self._counts[labels] = self._counts.get(labels, 0) + counts
            self._sums[labels] = self._sums.get(labels, 0.0) + total

    def collect(self) -> Iterable[HistogramMetricFamily]:
        """The histogram, as of now."""
        family = HistogramMetricFamily(self._name, self._what, labels=self._labels)
        with self._lock:
            for labels, counts in self._counts.items():
                buckets = list(zip(self._names, counts.cumsum().tolist(), strict=True))
                family.add_metric(labels, buckets, self._sums[labels])
        yield family
