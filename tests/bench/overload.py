"""`crossrec bench overload`: the ranking server under several times its capacity, and its recovery.

An open loop offers half of the capacity, then a multiple of it, then half again, from one client on a core of its own.
Goodput is the rate of answers within the deadline; recovery is the time from the end of the overload to the last
rejected or late request.
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import grpc

from crossrec.ranking.v1 import ranking_pb2 as pb
from export.evaluation.machine import machine, versions
from export.harness.environment import Environment
from export.harness.stage import DATASET, prepare_ranking, prepare_stage
from services.load.client_pool import ClientPool
from services.load.results import summarize_seconds, summarize_stats
from services.load.schedule import Step
from services.load.stats import OK, RunRecord
from services.load.target import Target
from services.settings.terminal import open_console
from tests.bench.calls import RankCalls
from tests.bench.processes import CLIENT_CORE, SERVER_CORE, has_separate_cores, pin
from tests.bench.rank import CANDIDATES, CAPACITY_S, HOUSEHOLDS, IN_FLIGHT, PACKAGES, WARM_UP, seeded_requests

REQUESTS = 500
HALF = 0.5
BEFORE_S, AFTER_S = 10.0, 15.0
DEADLINE_S = 0.5
CHANNELS = 16
APART = has_separate_cores()
"""Determined before any process is pinned."""


def run_bench_overload(times: float, seconds_of_it: float, out: Path = Path("build/bench/overload")) -> dict[str, Any]:
    """Prepare data, store and model, start the server, measure its capacity, overload it, stop everything."""
    console = open_console(stderr=True)
    with Environment(out, DATASET) as environment:
        console.print(f"preparing {HOUSEHOLDS} households, a model and the online store")
        stage = prepare_stage(environment, HOUSEHOLDS)
        prepare_ranking(stage)
        asked = seeded_requests(stage.history, REQUESTS, CANDIDATES)
        pid = start_server(environment)
        calls = RankCalls(grpc.insecure_channel(environment.ranking_address))
        calls.measure_latencies(asked[:WARM_UP])
        capacity = calls.measure_capacity(asked, IN_FLIGHT, CAPACITY_S)
        steps = [Step(HALF * capacity, BEFORE_S), Step(times * capacity, seconds_of_it), Step(HALF * capacity, AFTER_S)]
        console.print(f"capacity {capacity:.0f}/s; offering {times:g} times the capacity for {seconds_of_it:g} s")
        record = offer_load(environment.ranking_address, asked, steps)
        os.kill(pid, 0)  # ProcessLookupError if the server has ended
    return summarize_overload(record, capacity, steps)


def start_server(environment: Environment) -> int:
    """Start the ranking server on a core of its own; returns its process id."""
    environment.start_ranking()
    pid = environment.processes.running["ranking"].pid
    if APART:
        for other in (os.getpid(), *environment.infra_pids()):
            pin(other, CLIENT_CORE)
        pin(pid, SERVER_CORE)
    return pid


def offer_load(address: str, asked: Sequence[pb.RankRequest], steps: Sequence[Step]) -> RunRecord:
    """Offer the steps from one client; returns its record."""
    target = Target(address, CHANNELS, DEADLINE_S)
    with ClientPool(target, [request.SerializeToString() for request in asked], clients=1) as pool:
        return pool.offer(steps)


def summarize_overload(record: RunRecord, capacity: float, steps: Sequence[Step]) -> dict[str, Any]:
    """The results, with workload, versions and machine."""
    before, during, after = (
        summarize_stats(tally, lasted_s) for tally, lasted_s in zip(record.steps, record.lasted_s, strict=True)
    )
    whole = summarize_seconds(record)
    ends_s = steps[0].duration_s + steps[1].duration_s
    late_ms = max(2 * before["latency_ms"]["p99"], before["latency_ms"]["max"])
    return {
        "capacity_per_s": round(capacity, 1),
        "offered_per_s": during["offered_per_s"],
        "goodput_per_s": during["goodput_per_s"],
        "goodput_of_capacity": round(during["goodput_per_s"] / capacity, 3),
        "accepted_p50_ms": during["latency_ms"]["p50"],
        "accepted_p99_ms": during["latency_ms"]["p99"],
        "codes": during["codes"],
        "recovered_within_s": recovered_within_s(whole, ends_s, late_ms),
        "p99_ms_before": before["latency_ms"]["p99"],
        "p99_ms_after": after["latency_ms"]["p99"],
        "client_busy_share": round(record.busy_share, 3),
        "client_lag_p99_ms": during["client_lag_ms"]["p99"],
        "workload": {
            "data": f"Complete Journey, {HOUSEHOLDS} households, seed 0",
            "candidates": CANDIDATES,
            "explain": True,
            "arrivals": f"Poisson, {', '.join(f'{step.rate:.0f}/s for {step.duration_s:g} s' for step in steps)}",
            "deadline_s": DEADLINE_S,
            "cores": "server on one, client, Valkey and Kafka on the other" if APART else "shared",
        },
        "versions": versions(PACKAGES),
        "machine": machine(),
    }


def recovered_within_s(rows: Sequence[Mapping[str, Any]], ends_s: float, late_ms: float) -> float | None:
    """Whole seconds after the overload until no request is rejected or later than `late_ms`; None: never.

    `rows` are the seconds of the run from `services.load.results.seconds` has them.
    """
    after = [row for row in rows if row["second"] >= int(ends_s)]
    bad = [row["second"] for row in after if set(row["codes"]) - {OK} or (row["p99_ms"] or 0.0) > late_ms]
    if bad and bad[-1] == after[-1]["second"]:
        return None
    return float(bad[-1] + 1 - int(ends_s)) if bad else 0.0
