"""A histogram that observes all values of a request in one call: prometheus_client's own takes one value a call."""

import threading
from collections.abc import Iterable, Sequence

import numpy as np
from prometheus_client.core import HistogramMetricFamily


class BatchHistogram:
    """A histogram with labels (a prometheus_client collector). Safe between threads.

    Args:
        name: of the metric.
        help_text: what it measures.
        labels: names of the labels.
        bounds: upper bounds of the buckets, ascending, without the last bucket's (infinity).
    """

    def __init__(self, name: str, help_text: str, labels: Sequence[str], bounds: Sequence[float]) -> None:
        self._name, self._help, self._labels = name, help_text, tuple(labels)
        self._bounds = np.array(bounds, np.float32)
        self._names = [*(str(float(bound)) for bound in bounds), "+Inf"]
        self._lock = threading.Lock()
        self._counts: dict[tuple[str, ...], np.ndarray] = {}
        self._sums: dict[tuple[str, ...], float] = {}

    def observe(self, labels: tuple[str, ...], values: np.ndarray) -> None:
        """Add values."""
        counts = np.bincount(self._bounds.searchsorted(values), minlength=len(self._names))
        total = float(values.sum())
        with self._lock:
            self._counts[labels] = self._counts.get(labels, 0) + counts
            self._sums[labels] = self._sums.get(labels, 0.0) + total

    def collect(self) -> Iterable[HistogramMetricFamily]:
        """The histogram, as of now."""
        family = HistogramMetricFamily(self._name, self._help, labels=self._labels)
        with self._lock:
            for labels, counts in self._counts.items():
                buckets = list(zip(self._names, counts.cumsum().tolist(), strict=True))
                family.add_metric(labels, buckets, self._sums[labels])
        yield family
