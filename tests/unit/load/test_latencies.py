"""Latencies as a histogram."""

import pickle

import numpy as np

from services.load.latencies import Latencies


def record_all(seconds: np.ndarray) -> Latencies:
    latencies = Latencies()
    for value in seconds:
        latencies.record(float(value))
    return latencies


def test_percentiles_are_those_of_the_values() -> None:
    """Within the tenth of a percent that three digits keep."""
    seconds = np.random.default_rng(0).lognormal(-5, 1, 20_000)
    found = record_all(seconds).summary()
    exact = np.percentile(seconds * 1000, [50, 90, 99, 99.9, 100], method="inverted_cdf")
    np.testing.assert_allclose(list(found.values()), exact, rtol=0.002)


def test_histograms_of_processes_merge_without_loss() -> None:
    """The clients' histograms, sent through a pipe, add up to the histogram of all values."""
    seconds = np.random.default_rng(1).exponential(0.02, 4_000)
    merged = Latencies()
    for part in np.array_split(seconds, 3):
        merged.add(pickle.loads(pickle.dumps(record_all(part))))  # noqa: S301 - what multiprocessing does
    assert record_all(seconds).summary() == merged.summary()
    assert 4_000 == len(merged)


def test_the_curve_rises_to_the_maximum() -> None:
    latencies = record_all(np.arange(1, 1001) / 1000)
    curve = latencies.curve()
    percents, milliseconds = zip(*curve, strict=True)
    assert list(percents) == sorted(percents)
    assert list(milliseconds) == sorted(milliseconds)
    assert (100.0, latencies.max_ms()) == curve[-1]


def test_an_empty_histogram_has_zeros_and_can_be_pickled() -> None:
    empty = pickle.loads(pickle.dumps(Latencies()))  # noqa: S301 - what multiprocessing does
    assert {"p50": 0.0, "p90": 0.0, "p99": 0.0, "p99.9": 0.0, "max": 0.0} == empty.summary()
    assert [] == empty.curve()


def test_values_out_of_range_are_counted() -> None:
    """Nothing is dropped: longer than an hour counts as an hour, less than zero as zero."""
    latencies = record_all(np.array([-0.000_001, 10_000.0]))
    assert 2 == len(latencies)
    assert abs(latencies.max_ms() / 3_600_000 - 1) < 0.001
