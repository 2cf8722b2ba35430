"""Values in buckets, as Prometheus reads them."""

import numpy as np
from prometheus_client import CollectorRegistry, Histogram

from services.ranking.histogram import BatchHistogram


def test_the_histogram_equals_that_of_prometheus_client() -> None:
    """Bounds belong to the bucket below them."""
    registry, expected = CollectorRegistry(), CollectorRegistry()
    bounds = (0.25, 0.5, 1.0)
    made = BatchHistogram("p", "Values.", ("scenario",), bounds)
    registry.register(made)
    usual = Histogram("p", "Values.", ("scenario",), registry=expected, buckets=bounds)
    for scenario, values in (("tv", [0.0, 0.25, 0.375, 1.0, 7.0]), ("tv", [0.5]), ("shelf", [0.75, 0.75])):
        made.observe((scenario,), np.array(values, np.float32))
        for value in values:
            usual.labels(scenario).observe(value)
    for metric in expected.collect():
        for sample in metric.samples:
            if not sample.name.endswith("_created"):
                assert sample.value == registry.get_sample_value(sample.name, sample.labels)
