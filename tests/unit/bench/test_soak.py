"""Results of a soak run."""

import pytest

from services.load.stats import OK, StepStats
from tests.bench.soak import Interval, slope_per_hour, split_intervals, summarize_intervals

MIB = 1 << 20


def interval(number: int, memory_mib: float, *milliseconds: float, failed: int = 0) -> Interval:
    """A minute with these latencies."""
    stats = StepStats()
    for each in milliseconds:
        stats.latency.record(each / 1000)
    stats.codes.update({OK: len(milliseconds), "UNAVAILABLE": failed})
    return Interval(60.0 * (number + 1), round(memory_mib * MIB), stats)


def test_thirds_are_compared_and_memory_has_a_slope() -> None:
    """Two MiB a minute are 120 an hour; failures lower the answered share."""
    run = [interval(n, 100 + 2 * n, *([4.0] * 99), 40.0 if n < 2 else 80.0, failed=n == 5) for n in range(6)]
    summary = summarize_intervals(run)
    assert 120 * MIB == pytest.approx(summary["memory_bytes_per_hour"], abs=1)
    assert {"first": 100.0, "last": 110.0, "highest": 110.0} == summary["memory_mib"]
    assert {"first_third": 4.0, "last_third": 4.0} == {k: round(v, 1) for k, v in summary["p99_ms"].items()}
    assert (1.0, round(600 / 601, 6)) == (summary["p99_last_to_first_third"], summary["answered_share"])
    assert [60.0, 4.0] == [summary["intervals"][0]["end_s"], round(summary["intervals"][0]["p50_ms"], 1)]
    assert ["end_s", "memory_mib", "requests", "p50_ms", "p99_ms"] == list(summary["intervals"][0])


def test_a_third_is_all_of_its_requests() -> None:
    """A percentile over all its requests, not the mean of its minutes."""
    fast, slow = [2.0] * 1000, [2.0] * 10 + [50.0] * 10
    summary = summarize_intervals(
        [interval(0, 1, *fast), interval(1, 1, *slow), *(interval(n, 1, *fast) for n in range(2, 6))]
    )
    assert 2.0 == round(summary["p99_ms"]["first_third"], 1)


def test_short_runs_have_short_intervals() -> None:
    assert [(60, 60.0), (6, 10.0), (6, 1.0)] == [split_intervals(minutes) for minutes in (60, 1, 0.1)]


def test_one_value_has_no_slope() -> None:
    assert (0.0, pytest.approx(3600.0)) == (slope_per_hour([5], [7]), slope_per_hour([0, 1, 2], [0, 1, 2]))


def test_without_answers_there_is_no_ratio() -> None:
    """A server that answers nothing has no latency."""
    summary = summarize_intervals([interval(0, 1, failed=3)])
    assert (None, 0.0, {"UNAVAILABLE": 3}) == (
        summary["p99_last_to_first_third"],
        summary["answered_share"],
        {code: count for code, count in summary["codes"].items() if count},
    )
