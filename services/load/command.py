"""Runs `crossrec load`: builds the workload, runs the profile, prints progress, writes results and report."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from crossrec.ranking.v1.ranking_pb2 import RankRequest
from services.errors import ConfigurationError
from services.load.client_pool import ClientPool
from services.load.profiles import Profile
from services.load.run import run_load
from services.load.stats import OK
from services.load.summary import findings, format_number, notices
from services.load.target import Target
from services.load.workload import RequestWorkload, Shape, read_requests, write_requests
from services.settings.terminal import open_console

RequestsOfData = Callable[[str, Shape], Sequence[RankRequest]]
"""Makes requests of an imported data set, by its name."""

console = open_console(highlight=False)


def make_workload(file: Path | None, data: str, shape: Shape, requests_of_data: RequestsOfData) -> RequestWorkload:
    """The requests of a file or of a data set; ConfigurationError unless exactly one is given."""
    if (file is None) == (not data):
        raise ConfigurationError("workload: give one of --requests and --data")
    if file:
        return RequestWorkload(read_requests(file), {"requests": str(file)})
    source: dict[str, str | int] = {
        "data": data,
        "candidates": shape.candidates,
        "users": shape.users,
        "seed": shape.seed,
    }
    return RequestWorkload(requests_of_data(data, shape), source)


def run_load_command(
    target: Target,
    workload: RequestWorkload,
    profile: Profile | None,
    clients: int,
    save_requests: Path | None,
    json_file: Path | None,
    report: Path | None,
) -> None:
    """Save the requests, run the profile, write results and report: each if its option is given."""
    if save_requests:
        write_requests(save_requests, workload.requests)
        console.print(f"written: {save_requests}")
    if not profile:
        return
    results = _measure(target, workload, profile, clients)
    if json_file:
        _write(json_file, json.dumps(results, indent=2) + "\n")
    if report:
        from services.load.report import render_report

        _write(report, render_report(results))


def _measure(target: Target, workload: RequestWorkload, profile: Profile, clients: int) -> dict[str, Any]:
    """Run the profile, print each step when it ends, and return the results."""
    bodies = [request.SerializeToString() for request in workload.requests]
    with ClientPool(target, bodies, clients) as pool, console.status(f"offering load to {target.address}"):
        measured = run_load(pool, profile, lambda step: console.print(step_line(step)))
    for text in (*notices(measured), *findings(measured)):
        console.print(text)
    return {
        "target": {
            "address": target.address,
            "deadline_s": target.deadline_s,
            "tls": target.tls is not None,
            "retry": target.retry,
        },
        "workload": {**workload.source, "distinct": len(bodies), "median_bytes": int(median(map(len, bodies)))},
        "clients": {"processes": clients, "channels": target.channels},
        **measured,
    }


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    console.print(f"written: {path}")


def step_line(step: dict[str, Any]) -> str:
    """A step as one line of text."""
    latency = step["latency_ms"]
    failed = {code: count for code, count in step["codes"].items() if code != OK}
    p50, p99, longest = (format_number(latency[name]) for name in ("p50", "p99", "max"))
    parts = [
        f"{step['rate']:8.1f}/s offered, {step['goodput_per_s']:.1f}/s answered,",
        f"p50 {p50} ms, p99 {p99} ms, max {longest} ms",
        *(f"{code} {count:,}" for code, count in failed.items()),
        "" if step["held"] else "NOT HELD",
    ]
    return "  ".join(part for part in parts if part)
