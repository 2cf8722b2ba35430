"""`crossrec bench rank`: the ranking server, a floor without features, and one that reads through Feast, in one run.

The servers are single processes on one core; the client, Valkey and the rest share the other. Measures latency and CPU
time of sequential requests, capacity, and latency under load at 60 % of the capacity.
"""

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import numpy as np

from crossrec.ranking.v1 import ranking_pb2 as pb
from export.evaluation.machine import machine, versions
from export.harness.environment import Environment
from export.harness.stage import DATASET, prepare_ranking, prepare_stage
from export.harness.stream import timestamp
from export.replay.history import DatasetHistory
from services.infra.ports import choose_port
from services.load.workload import write_requests
from services.settings.terminal import open_console
from tests.bench.calls import RankCalls
from tests.bench.processes import CLIENT_CORE, SERVER_CORE, cpu_seconds, has_separate_cores, pin

HOUSEHOLDS = 100
CANDIDATES = 200
MANY = 2_000
WARM_UP = 100
ROUNDS = 5
"""Servers take turns, so that other load on the machine affects all of them."""

IN_FLIGHT = 4
CAPACITY_S = 8.0
LOAD_S = 30.0
SHARE = 0.6
PACKAGES = ("crossrec", "feast", "grpcio", "onnxruntime-gpu", "redis", "hiredis", "numpy", "protobuf")


@dataclass
class MeasuredServer:
    """A running server and its measurements."""

    name: str
    address: str
    pid: int
    calls: RankCalls
    milliseconds: list[float]
    cpu_s: float = 0.0


def run_bench_rank(requests: int, out: Path = Path("build/bench/rank")) -> dict[str, Any]:
    """Prepare data, store and model, start the servers, measure, stop everything."""
    console = open_console(stderr=True)
    with Environment(out, DATASET) as environment:
        console.print(f"preparing {HOUSEHOLDS} households, a model and the online store")
        stage = prepare_stage(environment, HOUSEHOLDS)
        prepare_ranking(stage)
        asked, many = (seeded_requests(stage.history, requests, count) for count in (CANDIDATES, MANY))
        servers = start_servers(environment)
        console.print(f"measuring {requests} requests per server, {ROUNDS} turns")
        measure_sequentially(servers, asked)
        ours = servers["ours"]
        found = summarize_servers(servers, requests)
        console.print("measuring 2,000 candidates, capacity, and latency under load")
        found["p50_ms_of_2000"] = _rounded(np.median(ours.calls.measure_latencies(many[: requests // 3])))
        found["ratio_2000_to_200"] = _rounded(found["p50_ms_of_2000"] / found["p50_ms"])
        found |= measure_under_load(environment, ours, asked)
        found |= {
            f"floor_{name}": figure for name, figure in measure_under_load(environment, servers["floor"], asked).items()
        }
    return found


def start_servers(environment: Environment) -> dict[str, MeasuredServer]:
    """Start the three servers on one core; all other processes run on the other."""
    if pinned := has_separate_cores():
        for pid in (os.getpid(), *environment.infra_pids()):
            pin(pid, CLIENT_CORE)
    processes = environment.processes
    environment.start_ranking()
    addresses = {"ours": environment.ranking_address}
    for name in ("floor", "feast"):
        addresses[name] = f"127.0.0.1:{choose_port(0, None, ())}"
        processes.start_python(name, "-m", "tests.bench.rank_servers", name, addresses[name])
        environment.wait_healthy(addresses[name])
    pids = {"ours": processes.running["ranking"].pid} | {n: processes.running[n].pid for n in ("floor", "feast")}
    if pinned:
        for pid in pids.values():
            pin(pid, SERVER_CORE)
    return {
        name: MeasuredServer(name, address, pids[name], RankCalls(grpc.insecure_channel(address)), [])
        for name, address in addresses.items()
    }


def measure_sequentially(servers: dict[str, MeasuredServer], asked: Sequence[pb.RankRequest]) -> None:
    """Send sequential requests, the servers taking turns; the Feast server, being slow, gets a tenth of them."""
    for server in servers.values():
        server.calls.measure_latencies(asked[: WARM_UP // 10 if server.name == "feast" else WARM_UP])
    for turn in range(ROUNDS):
        for server in servers.values():
            own = asked[turn::ROUNDS][:: 10 if server.name == "feast" else 1]
            begun_s = cpu_seconds(server.pid)
            server.milliseconds += server.calls.measure_latencies(own)
            server.cpu_s += cpu_seconds(server.pid) - begun_s


def seeded_requests(history: DatasetHistory, requests: int, candidates: int) -> list[pb.RankRequest]:
    """Seeded requests of users, items and scenarios of the labelled rows."""
    generator = np.random.default_rng(0)
    users, items = np.unique(history.requests.user.astype(str)), np.unique(history.requests.item.astype(str))
    scenarios = np.unique(history.requests.scenario.astype(str))
    now = timestamp(float(history.requests.time_s[-1]))
    return [
        pb.RankRequest(
            user_id=str(generator.choice(users)),
            scenario_id=str(generator.choice(scenarios)),
            item_ids=generator.choice(items, candidates, replace=False).tolist(),
            request_time=now,
            options=pb.RankOptions(explain=True),
        )
        for _ in range(requests)
    ]


def measure_under_load(
    environment: Environment, server: MeasuredServer, asked: Sequence[pb.RankRequest]
) -> dict[str, Any]:
    """Capacity of the server, and latency from due time at a share of it, by the load client."""
    capacity_per_s = server.calls.measure_capacity(asked, IN_FLIGHT, CAPACITY_S)
    requests, found = environment.out / "requests.jsonl", environment.out / "load.json"
    write_requests(requests, asked)
    options = ["--rate", f"{SHARE * capacity_per_s:.1f}", "--duration", f"{LOAD_S:g}", "--json", str(found)]
    environment.processes.start("load", "load", "--target", server.address, "--requests", str(requests), *options)
    load = environment.processes.running["load"]
    if len(os.sched_getaffinity(load.pid)) > 1:
        os.sched_setaffinity(load.pid, {CLIENT_CORE})
    environment.processes.finish("load")
    latency = json.loads(found.read_text())["overall"]["latency_ms"]
    return {
        "capacity_per_s": round(capacity_per_s, 1),
        "p50_ms_at_60_percent": latency["p50"],
        "p99_ms_at_60_percent": latency["p99"],
        "p99_over_p50_at_60_percent": _rounded(latency["p99"] / latency["p50"]),
    }


def summarize_servers(servers: dict[str, MeasuredServer], requests: int) -> dict[str, Any]:
    """The results, with workload, versions and machine."""
    percentiles = {name: np.percentile(server.milliseconds, [50, 99]) for name, server in servers.items()}
    ours, p50 = servers["ours"], percentiles["ours"][0]
    return {
        "p50_ms": _rounded(p50),
        "p99_ms": _rounded(percentiles["ours"][1]),
        "floor_p50_ms": _rounded(percentiles["floor"][0]),
        "feast_p50_ms": _rounded(percentiles["feast"][0]),
        "feast_p99_ms": _rounded(percentiles["feast"][1]),
        "ratio_to_floor_p50": _rounded(p50 / percentiles["floor"][0]),
        "speedup_over_feast_p50": _rounded(percentiles["feast"][0] / p50),
        "cpu_ms_per_request": _rounded(ours.cpu_s / len(ours.milliseconds) * 1000),
        "floor_cpu_ms_per_request": _rounded(servers["floor"].cpu_s / len(servers["floor"].milliseconds) * 1000),
        "workload": {
            "data": f"Complete Journey, {HOUSEHOLDS} households, seed 0",
            "requests": requests,
            "candidates": CANDIDATES,
            "scenarios": 6,
            "explain": True,
            "arrivals": f"one after another; capacity: {IN_FLIGHT} in flight; under load: Poisson, {LOAD_S:g} s",
            "cores": "server on one, client, Valkey and Kafka on the other",
            "floor": "the same messages and model on precomputed tensors",
            "feast": "get_online_features, to_dict, the same encoding and model; a tenth of the requests",
        },
        "versions": versions(PACKAGES),
        "machine": machine(),
    }


def _rounded(value: float) -> float:
    return round(float(value), 2)
