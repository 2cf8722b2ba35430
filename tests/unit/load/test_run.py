"""Whole runs, their results and the report, on a pool that simulates a server."""

from collections.abc import Sequence
from typing import Any

import pytest

from services.load.knee import Search
from services.load.profiles import RAMP, STEADY, STEPPED, Profile, StepBounds
from services.load.report import render_report
from services.load.run import run_load
from services.load.schedule import CONSTANT, Step
from services.load.stats import AnswerInfo, CallOutcome, RunRecord, StepStats


class SimulatedPool:
    """A pool whose server answers `capacity` requests a second, one after another, within a second or never."""

    def __init__(self, capacity: float, lag_s: float = 0.0, ends_after: int | None = None) -> None:
        self.capacity, self.lag_s, self.ends_after = capacity, lag_s, ends_after
        self.begun, self.offers, self.since_s = 0, 0, 0.0

    @property
    def interrupted(self) -> bool:
        return self.ends_after is not None and self.offers >= self.ends_after

    def begin(self) -> None:
        self.begun += 1

    def offer(self, steps: Sequence[Step]) -> RunRecord:
        self.offers += 1
        record = RunRecord([StepStats() for _ in steps])
        for number, step in enumerate(steps):
            free_s = 0.0
            for due_s in (self.since_s + step.due_s()).tolist():
                done_s = max(due_s + self.lag_s, free_s) + 1 / self.capacity
                late = done_s - due_s > 1
                free_s = free_s if late else done_s
                code, answer = ("DEADLINE_EXCEEDED", None) if late else ("OK", AnswerInfo("m/7", "treatment", ()))
                record.record(number, 0.0, CallOutcome(due_s, due_s + self.lag_s, min(done_s, due_s + 1), code, answer))
            self.since_s += step.duration_s
            record.lasted_s.append(step.duration_s)
        return record


def profile(kind: str, rates: Sequence[float] = (), **more: Any) -> Profile:
    return Profile(kind, rates, 2.0, CONSTANT, 0, bounds=StepBounds(p99_ms=300), **more)


def complete_results(results: dict[str, Any]) -> dict[str, Any]:
    """Results with the parts that the command adds."""
    parts: dict[str, Any] = {
        "target": {"address": "ranking:1"},
        "workload": {"requests": "<b>requests</b>.jsonl"},
        "clients": {"processes": 2},
    }
    return {**parts, **results}


def test_steady_results_are_those_of_all_requests() -> None:
    results = run_load(SimulatedPool(100), profile(STEADY, [50]))
    whole = results["overall"]
    assert (100, 50.0, 50.0, {"OK": 100}) == (
        whole["requests"],
        whole["offered_per_s"],
        whole["goodput_per_s"],
        whole["codes"],
    )
    assert ({"m/7": 100}, {"treatment": 100}) == (whole["models"], whole["arms"])
    assert abs(whole["latency_ms"]["p99"] - 10) < 0.1
    assert [50, 50] == [second["offered"] for second in results["seconds"] if second["offered"]]
    assert (False, None) == (results["interrupted"], results["capacity"])


def test_an_overload_step_is_not_held_and_loses_goodput() -> None:
    results = run_load(SimulatedPool(100), profile(STEPPED, [50, 400, 50]))
    assert [True, False, True] == [step["held"] for step in results["steps"]]
    overloaded = results["steps"][1]
    assert overloaded["goodput_share"] < 0.5
    assert overloaded["codes"]["DEADLINE_EXCEEDED"] > 300


def test_a_ramp_finds_the_capacity_of_the_server() -> None:
    results = run_load(SimulatedPool(100), profile(RAMP, search=Search(30, precision=0.05)))
    capacity = results["capacity"]
    assert 95 <= capacity["rate"] <= capacity["not_held"] <= 130
    assert results["steps"][capacity["step"]]["rate"] == pytest.approx(capacity["rate"], abs=0.01)
    assert results["overall"]["requests"] == sum(step["requests"] for step in results["steps"])


def test_an_interrupted_ramp_is_reported_as_ended_early() -> None:
    results = run_load(SimulatedPool(100, ends_after=2), profile(RAMP, search=Search(30)))
    assert 2 == len(results["steps"])
    assert results["interrupted"]
    assert "ended early" in results["capacity"]["summary"]


def test_a_slow_client_is_not_taken_for_a_slow_server() -> None:
    """The results and the report state that the client fell behind."""
    results = run_load(SimulatedPool(100, lag_s=0.05), profile(STEADY, [50]))
    assert results["client"]["behind"]
    assert results["steps"][0]["client_behind"]
    assert "fell behind" in render_report(complete_results(results))
    assert not run_load(SimulatedPool(100), profile(STEADY, [50]))["client"]["behind"]


def test_warming_up_does_not_count() -> None:
    pool = SimulatedPool(100)
    results = run_load(pool, profile(STEADY, [50], warm_up_s=4.0))
    assert (2, 1, 100) == (pool.offers, pool.begun, results["overall"]["requests"])


def test_the_report_contains_the_numbers() -> None:
    """Rates, percentiles, codes, models, arms and which steps held, with every plot; text from outside is escaped."""
    page = render_report(complete_results(run_load(SimulatedPool(100), profile(STEPPED, [50, 400]))))
    for text in ("50, 400 requests per second", "DEADLINE_EXCEEDED", "m/7", "treatment", "ranking:1", "1,000"):
        assert text in page
    assert "&lt;b&gt;requests&lt;/b&gt;.jsonl" in page
    for title in ("Latency over time", "Throughput and errors over time", "Latency against load"):
        assert f'role="img" aria-label="{title}"' in page
    assert 4 == page.count("<svg")
    assert "http-equiv" not in page
    assert 0 == page.count("src=")


def test_the_report_of_a_ramp_shows_its_knee() -> None:
    results = run_load(SimulatedPool(100), profile(RAMP, search=Search(30)))
    page = render_report(complete_results(results))
    assert results["capacity"]["summary"] in page
    assert f"at {round(results['capacity']['rate'], 1):g}/s" in page


def test_a_run_without_an_answer_is_still_reported() -> None:
    """Ended before the first request was due."""

    class Idle(SimulatedPool):
        def offer(self, steps: Sequence[Step]) -> RunRecord:
            self.offers += 1
            return RunRecord([StepStats() for _ in steps], lasted_s=[0.0] * len(steps))

    results = run_load(Idle(100, ends_after=1), profile(STEADY, [50]))
    assert (True, 0, []) == (results["interrupted"], results["overall"]["requests"], results["steps"])
    assert "ended early" in render_report(complete_results(results))
