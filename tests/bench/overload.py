"""`crossrec bench overload`: the ranking server at several times what it can do, and after.

An open loop offers half of the capacity, then several times of it, then half again, from one client on a core of its
own. Goodput is what is answered in time against the capacity; recovery is how long after the overload the last request
is refused or late.
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import grpc
from rich.console import Console

from crossrec.ranking.v1 import ranking_pb2 as pb
from export.evaluation.machine import machine, versions
from export.harness.environment import Environment
from export.harness.stage import DATASET, open_ranking, set_stage
from services.load.client_pool import ClientPool
from services.load.results import summarize_seconds, summarize_stats
from services.load.schedule import Step
from services.load.stats import OK, RunRecord
from services.load.target import Target
from tests.bench.calls import RankCalls
from tests.bench.cores import CLIENT_CORE, SERVER_CORE, apart, pin
from tests.bench.rank import CANDIDATES, CAPACITY_S, HOUSEHOLDS, IN_FLIGHT, PACKAGES, WARM_UP, workload

REQUESTS = 500
HALF = 0.5
BEFORE_S, AFTER_S = 10.0, 15.0
DEADLINE_S = 0.5
CHANNELS = 16
APART = apart()
"""Before anything is pinned."""


def run_bench_overload(times: float, seconds_of_it: float, out: Path = Path("build/bench/overload")) -> dict[str, Any]:
    """Prepare data, store and model, start the server, measure its capacity, overload it, stop everything."""
    console = Console(stderr=True)
    with Environment(out, DATASET) as environment:
        console.print(f"preparing {HOUSEHOLDS} households, a model and the online store")
        stage = set_stage(environment, HOUSEHOLDS)
        open_ranking(stage)
        asked = workload(stage.history, REQUESTS, CANDIDATES)
        pid = start_server(environment)
        calls = RankCalls(grpc.insecure_channel(environment.ranking_address))
        calls.one_by_one(asked[:WARM_UP])
        capacity = calls.capacity_per_s(asked, IN_FLIGHT, CAPACITY_S)
        steps = [Step(HALF * capacity, BEFORE_S), Step(times * capacity, seconds_of_it), Step(HALF * capacity, AFTER_S)]
        console.print(f"capacity {capacity:.0f}/s; offering {times:g} times as much for {seconds_of_it:g} s")
        record = offer(environment.ranking_address, asked, steps)
        os.kill(pid, 0)  # ProcessLookupError if it did not survive
    return report(record, capacity, steps)


def start_server(environment: Environment) -> int:
    """The ranking server on a core of its own; its process id."""
    environment.start_ranking()
    pid = environment.processes.running["ranking"].pid
    if APART:
        for other in (os.getpid(), *environment.infra_pids()):
            pin(other, CLIENT_CORE)
        pin(pid, SERVER_CORE)
    return pid


def offer(address: str, asked: Sequence[pb.RankRequest], steps: Sequence[Step]) -> RunRecord:
    """What a client saw of the steps."""
    target = Target(address, CHANNELS, DEADLINE_S)
    with ClientPool(target, [request.SerializeToString() for request in asked], clients=1) as pool:
        return pool.offer(steps)


def report(record: RunRecord, capacity: float, steps: Sequence[Step]) -> dict[str, Any]:
    """What was measured, on what, with what."""
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
    """Whole seconds after the overload until nothing is refused or later than `late_ms` any more; None: never.

    `rows` are the seconds of the run as `services.load.results.seconds` has them.
    """
    after = [row for row in rows if row["second"] >= int(ends_s)]
    bad = [row["second"] for row in after if set(row["codes"]) - {OK} or (row["p99_ms"] or 0.0) > late_ms]
    if bad and bad[-1] == after[-1]["second"]:
        return None
    return float(bad[-1] + 1 - int(ends_s)) if bad else 0.0
