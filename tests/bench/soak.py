"""`crossrec bench soak`: the ranking server for an hour or more at a share of its capacity, under background load.

Requests arrive in an open loop; latency counts from due time. Memory and latency are recorded per minute; the results
are the slope of the memory and the latency of the last third against the first.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import numpy as np

from export.evaluation.machine import machine, versions
from export.harness.environment import Environment
from export.harness.stage import DATASET, create_stage_topics, prepare_ranking, prepare_stage
from services.load.client_pool import ClientPool
from services.load.latencies import Latencies
from services.load.schedule import Step
from services.load.stats import OK, StepStats
from services.load.target import Target
from services.settings.processes import CONSUMER_KINDS
from services.settings.terminal import open_console
from tests.bench.calls import RankCalls
from tests.bench.freshness import background_load
from tests.bench.processes import tree_memory_bytes
from tests.bench.rank import CANDIDATES, CAPACITY_S, IN_FLIGHT, PACKAGES, seeded_requests

REQUESTS = 2_000
"""Distinct requests, sent in a cycle."""

INTERVAL_S = 60.0
LEAST_INTERVALS = 6
"""Shorter runs have shorter intervals, so that slope and thirds can be computed."""

MIB = 1 << 20


@dataclass(frozen=True)
class SoakedServer:
    """The measured server: address and process id."""

    address: str
    pid: int


@dataclass(frozen=True)
class Interval:
    """An interval of the run.

    Args:
        end_s: end of the interval, seconds since the start.
        memory_bytes: resident memory of the server and its workers at the end.
        tally: what the clients saw.
    """

    end_s: float
    memory_bytes: int
    tally: StepStats


def run_bench_soak(
    minutes: float, households: int, events_per_s: int, share: float, out: Path = Path("build/bench/soak")
) -> dict[str, Any]:
    """Prepare everything, start all servers and consumers, find the capacity, soak, stop everything."""
    console = open_console(stderr=True)
    with Environment(out, DATASET) as environment:
        console.print(f"preparing {households} households, a model, topics and the online store")
        stage = prepare_stage(environment, households)
        create_stage_topics(stage)
        prepare_ranking(stage)
        start_processes(environment)
        asked = seeded_requests(stage.history, REQUESTS, CANDIDATES)
        server = SoakedServer(environment.ranking_address, environment.processes.running["ranking"].pid)
        with background_load(stage, events_per_s) as load:
            with grpc.insecure_channel(environment.ranking_address) as channel:
                capacity = RankCalls(channel).measure_capacity(asked, IN_FLIGHT, CAPACITY_S)
            console.print(f"{minutes:g} minutes at {share * capacity:.0f} requests/s, {share:.0%} of the capacity")
            bodies = [request.SerializeToString() for request in asked]
            intervals = run_soak(server, bodies, share * capacity, minutes, environment.processes.check)
    workload = {
        "data": stage.describe(households),
        "minutes": minutes,
        "candidates": CANDIDATES,
        "arrivals": f"Poisson, {share * capacity:.1f} a second: {share:.0%} of the capacity under the events",
        "events_per_s": events_per_s,
        "events_per_s_reached": round(load.rate()),
        "processes": "gateway, four consumers, ranking server, Kafka, Valkey and this client on one machine",
    }
    found = {"capacity_per_s": round(capacity, 1), **summarize_intervals(intervals)}
    return {**found, "workload": workload, "versions": versions(PACKAGES), "machine": machine()}


def start_processes(environment: Environment) -> None:
    """Start the servers, one after the other, and the consumers."""
    environment.start_gateway()
    environment.start_ranking()
    for kind in CONSUMER_KINDS:
        environment.processes.start(f"consumer-{kind}", "consume", kind)


def run_soak(
    server: SoakedServer, bodies: Sequence[bytes], rate: float, minutes: float, check: Callable[[], None] = lambda: None
) -> list[Interval]:
    """Send serialised requests, interval by interval, and record the results; Ctrl-C ends it early.

    `check` is called after each interval, and may raise. Raises LoadFailed.
    """
    console, intervals = open_console(stderr=True, highlight=False), list[Interval]()
    count, seconds = split_intervals(minutes)
    with ClientPool(Target(server.address), bodies, clients=1) as pool:
        for number in range(count):
            record = pool.offer([Step(rate, seconds, seed=number)])
            check()
            intervals.append(Interval((number + 1) * seconds, tree_memory_bytes(server.pid), record.steps[0]))
            console.print(_line(intervals[-1]))
            if pool.interrupted:
                break
    return intervals


def split_intervals(minutes: float) -> tuple[int, float]:
    """Number and seconds of the intervals of a run."""
    count = max(LEAST_INTERVALS, round(minutes * 60 / INTERVAL_S))
    return count, minutes * 60 / count


def summarize_intervals(intervals: Sequence[Interval]) -> dict[str, Any]:
    """Results per interval, and trends over the run."""
    third = max(1, len(intervals) // 3)
    first, last = (_merge_latencies(part) for part in (intervals[:third], intervals[-third:]))
    p99_first, p99_last = (latency.milliseconds([99])[0] for latency in (first, last))
    codes = sum((interval.tally.codes for interval in intervals), Counter[str]())
    memory = [interval.memory_bytes for interval in intervals]
    return {
        "memory_bytes_per_hour": round(slope_per_hour([interval.end_s for interval in intervals], memory)),
        "memory_mib": {"first": _mib(memory[0]), "last": _mib(memory[-1]), "highest": _mib(max(memory))},
        "p99_ms": {"first_third": round(p99_first, 2), "last_third": round(p99_last, 2)},
        "p99_last_to_first_third": round(p99_last / p99_first, 3) if p99_first else None,
        "answered_share": round(codes[OK] / max(1, codes.total()), 6),
        "codes": dict(codes.most_common()),
        "intervals": [_summarize_interval(interval) for interval in intervals],
    }


def slope_per_hour(at_s: Sequence[float], values: Sequence[float]) -> float:
    """Growth of the values per hour: least-squares slope; 0 for a single value."""
    return float(np.polyfit(np.array(at_s) / 3600, values, 1)[0]) if len(at_s) > 1 else 0.0


def _merge_latencies(intervals: Sequence[Interval]) -> Latencies:
    merged = Latencies()
    for interval in intervals:
        merged.add(interval.tally.latency)
    return merged


def _summarize_interval(interval: Interval) -> dict[str, Any]:
    p50, p99 = interval.tally.latency.milliseconds([50, 99])
    return {
        "end_s": round(interval.end_s, 1),
        "memory_mib": _mib(interval.memory_bytes),
        "requests": interval.tally.codes.total(),
        "p50_ms": round(p50, 2),
        "p99_ms": round(p99, 2),
    }


def _line(interval: Interval) -> str:
    summary = _summarize_interval(interval)
    return (
        f"{summary['end_s']:7.0f} s  {summary['memory_mib']:8.1f} MiB  p50 {summary['p50_ms']:.2f} ms  "
        f"p99 {summary['p99_ms']:.2f} ms"
    )


def _mib(size: float) -> float:
    return round(size / MIB, 1)
