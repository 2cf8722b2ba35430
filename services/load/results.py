"""Results of a run as one JSON document: overall, per step, per second, capacity, and the client's own delay.

Latencies are milliseconds from the time a request was due, so that a stalled server shows in all the requests that
were due meanwhile (no "coordinated omission"); `service_ms` are from the time it was sent.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from services.load.knee import Knee
from services.load.latencies import Latencies
from services.load.profiles import StepBounds
from services.load.schedule import Step
from services.load.stats import OK, RunRecord, StepStats

LAG_MS, LAG_SHARE = 2.0, 0.1
"""A client is behind if its p99 lag exceeds both: this many ms, and this share of the server's p99."""
BUSY = 0.9
"""A client whose event loop is busy for more than this share of the time soon falls behind."""


def summarize_step(step: Step, stats: StepStats, lasted_s: float, bounds: StepBounds) -> dict[str, Any]:
    """Results of one step, with whether it kept the bounds."""
    results = {"rate": step.rate, **summarize_stats(stats, lasted_s)}
    return {**results, "held": meets_bounds(results, bounds)}


def summarize_stats(stats: StepStats, lasted_s: float) -> dict[str, Any]:
    """Results of requests that were due within `lasted_s` seconds."""
    requests, answered = sum(stats.codes.values()), stats.codes[OK]
    seconds = lasted_s or 1.0
    results = {
        "duration_s": round(lasted_s, 3),
        "requests": requests,
        "offered_per_s": round(requests / seconds, 2),
        "goodput_per_s": round(answered / seconds, 2),
        "goodput_share": round(answered / requests, 6) if requests else 1.0,
        "codes": _by_count(stats.codes),
        "degraded": _by_count(stats.degraded),
        "models": _by_count(stats.models),
        "arms": _by_count(stats.arms),
        "latency_ms": _rounded(stats.latency.summary()),
        "service_ms": _rounded(stats.service.summary()),
        "client_lag_ms": _rounded(stats.lag.summary()),
        "latency_curve": _curve(stats.latency),
        "service_curve": _curve(stats.service),
    }
    return {**results, "client_behind": is_client_behind(results)}


def meets_bounds(results: dict[str, Any], bounds: StepBounds) -> bool:
    """Whether goodput and p99 are within the bounds."""
    return bool(results["goodput_share"] >= bounds.goodput and results["latency_ms"]["p99"] <= bounds.p99_ms)


def is_client_behind(results: dict[str, Any]) -> bool:
    """Whether the client sent so late that the latencies include its own delay."""
    return bool(results["client_lag_ms"]["p99"] > max(LAG_MS, LAG_SHARE * results["service_ms"]["p99"]))


def summarize_run(record: RunRecord) -> dict[str, Any]:
    """Results of all steps together."""
    merged = StepStats()
    for stats in record.steps:
        merged.add(stats)
    return summarize_stats(merged, sum(record.lasted_s))


def summarize_seconds(record: RunRecord) -> list[dict[str, Any]]:
    """Results of every second in order: requests due and ended in it, latency of those due in it (null: none)."""
    rows = []
    for number, second in sorted(record.seconds.items()):
        p50, p99 = second.latency.milliseconds((50, 99))
        counted = len(second.latency) > 0
        rows.append(
            {
                "second": number,
                "offered": second.offered,
                "codes": _by_count(second.codes),
                "p50_ms": round(p50, 3) if counted else None,
                "p99_ms": round(p99, 3) if counted else None,
                "max_ms": round(second.latency.max_ms(), 3) if counted else None,
            }
        )
    return rows


def summarize_client(whole: dict[str, Any], steps: Sequence[dict[str, Any]], busy_share: float) -> dict[str, Any]:
    """Whether the client itself was fast enough, as values and as a sentence."""
    lag, late = whole["client_lag_ms"]["p99"], sum(step["client_behind"] for step in steps)
    measured = f"99 % were sent within {lag:.3g} ms of their time, busiest process {busy_share:.0%} busy"
    behind = late > 0 or busy_share > BUSY
    summary = f"The client kept its schedule: {measured}."
    if behind:
        what = f"fell behind its schedule in {late} of {len(steps)} steps" if late else "is at its limit"
        summary = f"The client {what} ({measured}): latencies hold its own delay. Use more clients, or another machine."
    return {"behind": behind, "busy_share": round(busy_share, 3), "lag_ms": whole["client_lag_ms"], "summary": summary}


def summarize_capacity(knee: Knee, steps: Sequence[dict[str, Any]], bounds: StepBounds, ended: str) -> dict[str, Any]:
    """The knee as values and as a sentence; `ended` is why the search ended early, if it did."""
    kept = f"at least {bounds.goodput:.0%} answered in time and p99 at most {bounds.p99_ms:g} ms"
    if knee.held and knee.failed is None:
        summary = f"{_rate(knee.held)}/s is the highest rate that was tried and held ({kept})."
    elif knee.held and knee.failed is not None:
        summary = f"{_rate(knee.held)}/s is the highest rate that was held ({kept}); {_rate(knee.failed)}/s was not."
    else:
        summary = f"No rate that was tried was held ({kept})."
    at = next((step for step in steps if step["held"] and step["rate"] == knee.held), None)
    return {
        "rate": round(knee.held, 2),
        "step": steps.index(at) if at else None,
        "goodput_per_s": at["goodput_per_s"] if at else 0.0,
        "not_held": None if knee.failed is None else round(knee.failed, 2),
        "summary": f"{summary} {ended}".strip(),
    }


def _rate(rate: float) -> str:
    return f"{round(rate, 1):g}"


def _curve(latencies: Latencies) -> list[list[float]]:
    return [[round(percent, 6), round(ms, 3)] for percent, ms in latencies.curve()]


def _by_count(counter: Counter[str]) -> dict[str, int]:
    return dict(counter.most_common())


def _rounded(values: dict[str, float]) -> dict[str, float]:
    return {name: round(value, 3) for name, value in values.items()}
