"""A whole run: warms up, offers a profile through a crew of clients, and returns its figures.

Knows the order of things; knows no options, files and processes.
"""

import os
import platform
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from importlib import metadata
from typing import Any, Protocol

from services.load.figures import capacity, client_figures, overall, seconds, step_figures
from services.load.knee import Knee, find_knee
from services.load.profiles import Profile
from services.load.schedule import Step
from services.load.tally import Record

PACKAGES = ("crossrec", "grpcio", "hdrhistogram")

Say = Callable[[dict[str, Any]], None]


class Offers(Protocol):
    """Something that offers steps to a server; a Crew is one."""

    @property
    def interrupted(self) -> bool:
        """Whether the run was ended early."""

    def begin(self) -> None:
        """Let the run begin now."""

    def offer(self, steps: Sequence[Step]) -> Record:
        """Run steps one after another and say what was seen."""


def run_load(crew: Offers, profile: Profile, say: Say = lambda _: None) -> dict[str, Any]:
    """Run a profile; the figures are those of `figures.py`.

    Args:
        crew: offers the steps.
        profile: which.
        say: is told the figures of each step when they are known.
    """
    began = datetime.now(UTC)
    if warm_up := profile.warm_up():
        crew.offer(warm_up)
        crew.begin()
    record, steps, knee = Record(), list[dict[str, Any]](), None
    if profile.search is None:
        planned = profile.steps()
        record = crew.offer(planned)
        begun = [number for number, lasted_s in enumerate(record.lasted_s) if lasted_s > 0]
        steps += [_figures(planned[number], record, number, profile) for number in begun]
        for figures in steps:
            say(figures)
    else:
        knee = _ramp(crew, profile, record, steps, say)
    whole = overall(record)
    return {
        "started_at": began.isoformat(timespec="seconds"),
        "profile": _described(profile),
        "interrupted": crew.interrupted,
        "client": client_figures(whole, steps, record.busy_share),
        "overall": whole,
        "steps": steps,
        "capacity": knee,
        "seconds": seconds(record),
        "versions": {package: metadata.version(package) for package in PACKAGES},
        "client_machine": {"cores": os.cpu_count(), "system": platform.platform()},
    }


def _ramp(
    crew: Offers, profile: Profile, record: Record, steps: list[dict[str, Any]], say: Say
) -> dict[str, Any] | None:
    """Look for the knee; what is seen on the way is added to `record` and `steps`."""
    assert profile.search  # noqa: S101 - what makes it a ramp
    ended = ""

    def holds(rate: float) -> bool | None:
        nonlocal ended
        step = profile.step(len(steps), rate)
        seen = crew.offer([step])
        record.append(seen)
        figures = _figures(step, seen, 0, profile)
        steps.append(figures)
        say(figures)
        if crew.interrupted:
            ended = "The search was ended early."
        elif figures["client_behind"] and not figures["held"]:
            ended = f"At {rate:.4g}/s the client fell behind its schedule: the server may hold more."
        return None if ended else bool(figures["held"])

    knee: Knee = find_knee(holds, profile.search)
    return capacity(knee, steps, profile.bounds, ended)


def _figures(step: Step, record: Record, number: int, profile: Profile) -> dict[str, Any]:
    return step_figures(step, record.steps[number], record.lasted_s[number], profile.bounds)


def _described(profile: Profile) -> dict[str, Any]:
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
