"""A load run: warm-up, the profile's steps, results. Knows their order; knows no options, files and processes."""

import os
import platform
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from importlib import metadata
from typing import Any, Protocol

from services.load.knee import Knee, find_knee
from services.load.profiles import Profile
from services.load.results import summarize_capacity, summarize_client, summarize_run, summarize_seconds, summarize_step
from services.load.schedule import Step
from services.load.stats import RunRecord

PACKAGES = ("crossrec", "grpcio", "hdrhistogram")

OnStep = Callable[[dict[str, Any]], None]


class StepRunner(Protocol):
    """Offers steps to a server, as ClientPool does."""

    @property
    def interrupted(self) -> bool:
        """Whether a signal ended the run early."""

    def begin(self) -> None:
        """Set the beginning of the run to now."""

    def offer(self, steps: Sequence[Step]) -> RunRecord:
        """Run steps one after another; returns their record."""


def run_load(pool: StepRunner, profile: Profile, on_step: OnStep = lambda _: None) -> dict[str, Any]:
    """Run a profile; returns the results as `results.py` defines them.

    Args:
        pool: offers the steps.
        profile: the steps, or the search for the knee.
        on_step: is called with the results of each step when it has ended.
    """
    began = datetime.now(UTC)
    if warm_up := profile.warm_up():
        pool.offer(warm_up)
        pool.begin()
    record, steps, knee = RunRecord(), list[dict[str, Any]](), None
    if profile.search is None:
        planned = profile.steps()
        record = pool.offer(planned)
        begun = [number for number, lasted_s in enumerate(record.lasted_s) if lasted_s > 0]
        steps += [_step_results(planned[number], record, number, profile) for number in begun]
        for results in steps:
            on_step(results)
    else:
        knee = _search_knee(pool, profile, record, steps, on_step)
    whole = summarize_run(record)
    return {
        "started_at": began.isoformat(timespec="seconds"),
        "profile": _profile_fields(profile),
        "interrupted": pool.interrupted,
        "client": summarize_client(whole, steps, record.busy_share),
        "overall": whole,
        "steps": steps,
        "capacity": knee,
        "seconds": summarize_seconds(record),
        "versions": {package: metadata.version(package) for package in PACKAGES},
        "client_machine": {"cores": os.cpu_count(), "system": platform.platform()},
    }


def _search_knee(
    pool: StepRunner, profile: Profile, record: RunRecord, steps: list[dict[str, Any]], on_step: OnStep
) -> dict[str, Any] | None:
    """Search the knee; adds the steps on the way to `record` and `steps`, and returns the capacity."""
    assert profile.search  # noqa: S101 - what makes it a ramp
    ended = ""

    def holds(rate: float) -> bool | None:
        nonlocal ended
        step = profile.step(len(steps), rate)
        seen = pool.offer([step])
        record.append(seen)
        results = _step_results(step, seen, 0, profile)
        steps.append(results)
        on_step(results)
        if pool.interrupted:
            ended = "The search was ended early."
        elif results["client_behind"] and not results["held"]:
            ended = f"At {rate:.4g}/s the client fell behind its schedule: the server may hold more."
        return None if ended else bool(results["held"])

    knee: Knee = find_knee(holds, profile.search)
    return summarize_capacity(knee, steps, profile.bounds, ended)


def _step_results(step: Step, record: RunRecord, number: int, profile: Profile) -> dict[str, Any]:
    return summarize_step(step, record.steps[number], record.lasted_s[number], profile.bounds)


def _profile_fields(profile: Profile) -> dict[str, Any]:
    return {
        "kind": profile.kind,
        "rates": list(profile.rates),
        "step_s": profile.step_s,
        "arrivals": profile.arrivals,
        "seed": profile.seed,
        "min_goodput": profile.bounds.goodput,
        "max_p99_ms": profile.bounds.p99_ms,
        "warm_up_s": profile.warm_up_s,
    }
