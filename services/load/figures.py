"""Figures of a run from what the clients counted, as one JSON document: overall, per step, per second, and a verdict.

Latencies are milliseconds from the time a request was due, so that a server that stands still is seen by all the
requests that came meanwhile ("coordinated omission"); `service_ms` are from the time it was sent.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from services.load.knee import Knee
from services.load.latencies import Latencies
from services.load.profiles import Bounds
from services.load.schedule import Step
from services.load.tally import OK, Record, Tally

LAG_MS, LAG_SHARE = 2.0, 0.1
"""A client is behind if its 99th percentile lag is above both: so many ms, and this share of the service's p99."""
BUSY = 0.9
"""A client whose event loop works more than this share of the time cannot send on time for long."""


def step_figures(step: Step, tally: Tally, lasted_s: float, bounds: Bounds) -> dict[str, Any]:
    """Figures of one step, with whether it kept the bounds."""
    figures = {"rate": step.rate, **tally_figures(tally, lasted_s)}
    return {**figures, "held": holds(figures, bounds)}


def tally_figures(tally: Tally, lasted_s: float) -> dict[str, Any]:
    """Figures of requests that were due within `lasted_s` seconds."""
    requests, answered = sum(tally.codes.values()), tally.codes[OK]
    seconds = lasted_s or 1.0
    figures = {
        "duration_s": round(lasted_s, 3),
        "requests": requests,
        "offered_per_s": round(requests / seconds, 2),
        "goodput_per_s": round(answered / seconds, 2),
        "goodput_share": round(answered / requests, 6) if requests else 1.0,
        "codes": _by_count(tally.codes),
        "degraded": _by_count(tally.degraded),
        "models": _by_count(tally.models),
        "arms": _by_count(tally.arms),
        "latency_ms": _rounded(tally.latency.summary()),
        "service_ms": _rounded(tally.service.summary()),
        "client_lag_ms": _rounded(tally.lag.summary()),
        "latency_curve": _curve(tally.latency),
        "service_curve": _curve(tally.service),
    }
    return {**figures, "client_behind": lags(figures)}


def holds(figures: dict[str, Any], bounds: Bounds) -> bool:
    """Whether enough was answered, soon enough."""
    return bool(figures["goodput_share"] >= bounds.goodput and figures["latency_ms"]["p99"] <= bounds.p99_ms)


def lags(figures: dict[str, Any]) -> bool:
    """Whether the client sent so late that the latencies are partly its own."""
    return bool(figures["client_lag_ms"]["p99"] > max(LAG_MS, LAG_SHARE * figures["service_ms"]["p99"]))


def overall(record: Record) -> dict[str, Any]:
    """All steps together."""
    merged = Tally()
    for tally in record.steps:
        merged.add(tally)
    return tally_figures(merged, sum(record.lasted_s))


def seconds(record: Record) -> list[dict[str, Any]]:
    """Every second of the run in order: offered and ended in it, latency of what was due in it (null: nothing was)."""
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


def client_figures(whole: dict[str, Any], steps: Sequence[dict[str, Any]], busy_share: float) -> dict[str, Any]:
    """Whether the client itself was fast enough, in figures and in words."""
    lag, late = whole["client_lag_ms"]["p99"], sum(step["client_behind"] for step in steps)
    measured = f"99 % were sent within {lag:.3g} ms of their time, busiest process {busy_share:.0%} busy"
    behind = late > 0 or busy_share > BUSY
    saying = f"The client kept its schedule: {measured}."
    if behind:
        what = f"fell behind its schedule in {late} of {len(steps)} steps" if late else "is at its limit"
        saying = f"The client {what} ({measured}): latencies hold its own delay. Use more clients, or another machine."
    return {"behind": behind, "busy_share": round(busy_share, 3), "lag_ms": whole["client_lag_ms"], "says": saying}


def capacity(knee: Knee, steps: Sequence[dict[str, Any]], bounds: Bounds, ended: str) -> dict[str, Any]:
    """The knee in figures and in words; `ended` says why the search ended early, if it did."""
    kept = f"at least {bounds.goodput:.0%} answered in time and p99 at most {bounds.p99_ms:g} ms"
    if knee.held and knee.failed is None:
        saying = f"{_rate(knee.held)}/s is the highest rate that was tried and held ({kept})."
    elif knee.held and knee.failed is not None:
        saying = f"{_rate(knee.held)}/s is the highest rate that was held ({kept}); {_rate(knee.failed)}/s was not."
    else:
        saying = f"No rate that was tried was held ({kept})."
    at = next((step for step in steps if step["held"] and step["rate"] == knee.held), None)
    return {
        "rate": round(knee.held, 2),
        "step": steps.index(at) if at else None,
        "goodput_per_s": at["goodput_per_s"] if at else 0.0,
        "not_held": None if knee.failed is None else round(knee.failed, 2),
        "says": f"{saying} {ended}".strip(),
    }


def _rate(rate: float) -> str:
    return f"{round(rate, 1):g}"


def _curve(latencies: Latencies) -> list[list[float]]:
    return [[round(percent, 6), round(ms, 3)] for percent, ms in latencies.curve()]


def _by_count(counter: Counter[str]) -> dict[str, int]:
    return dict(counter.most_common())


def _rounded(values: dict[str, float]) -> dict[str, float]:
    return {name: round(value, 3) for name, value in values.items()}
