"""What `crossrec load` does: takes the workload, runs the profile, prints, writes figures and report."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from rich.console import Console

from crossrec.ranking.v1.ranking_pb2 import RankRequest
from services.errors import ConfigurationError
from services.load.crew import Crew
from services.load.profiles import Profile
from services.load.run import run_load
from services.load.tally import OK
from services.load.target import Target
from services.load.words import found, notices, number
from services.load.workload import Shape, Workload, read_requests, write_requests

RequestsOfData = Callable[[str, Shape], Sequence[RankRequest]]
"""Requests of an imported data set by its name."""

console = Console(highlight=False)


def make_workload(file: Path | None, data: str, shape: Shape, requests_of_data: RequestsOfData) -> Workload:
    """The requests of a file or of a data set; ConfigurationError if it is not one of both."""
    if (file is None) == (not data):
        raise ConfigurationError("workload: give one of --requests and --data")
    if file:
        return Workload(read_requests(file), {"requests": str(file)})
    described: dict[str, str | int] = {
        "data": data,
        "candidates": shape.candidates,
        "users": shape.users,
        "seed": shape.seed,
    }
    return Workload(requests_of_data(data, shape), described)


def load_as_told(
    target: Target,
    workload: Workload,
    profile: Profile | None,
    clients: int,
    save_requests: Path | None,
    json_file: Path | None,
    report: Path | None,
) -> None:
    """Save the requests, run the profile, write figures and report: each if it is asked for."""
    if save_requests:
        write_requests(save_requests, workload.requests)
        console.print(f"written: {save_requests}", markup=False)
    if not profile:
        return
    figures = _measured(target, workload, profile, clients)
    if json_file:
        _write(json_file, json.dumps(figures, indent=2) + "\n")
    if report:
        from services.load.report import render

        _write(report, render(figures))


def _measured(target: Target, workload: Workload, profile: Profile, clients: int) -> dict[str, Any]:
    """Run the profile, print each step as it ends, and return the figures."""
    bodies = [request.SerializeToString() for request in workload.requests]
    with Crew(target, bodies, clients) as crew, console.status(f"offering load to {target.address}"):
        measured = run_load(crew, profile, lambda step: console.print(step_line(step)))
    for text in (*notices(measured), *found(measured)):
        console.print(text, markup=False)
    return {
        "target": {
            "address": target.address,
            "deadline_s": target.deadline_s,
            "tls": target.tls is not None,
            "retry": target.retry,
        },
        "workload": {**workload.described, "distinct": len(bodies), "median_bytes": int(median(map(len, bodies)))},
        "clients": {"processes": clients, "channels": target.channels},
        **measured,
    }


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    console.print(f"written: {path}", markup=False)


def step_line(step: dict[str, Any]) -> str:
    """A step in one line."""
    latency = step["latency_ms"]
    failed = {code: count for code, count in step["codes"].items() if code != OK}
    words = [
        f"{step['rate']:8.1f}/s offered, {step['goodput_per_s']:.1f}/s answered,",
        f"p50 {number(latency['p50'])} ms, p99 {number(latency['p99'])} ms, max {number(latency['max'])} ms",
        *(f"{code} {count:,}" for code, count in failed.items()),
        "" if step["held"] else "NOT HELD",
    ]
    return "  ".join(word for word in words if word)
