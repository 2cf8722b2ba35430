"""`crossrec bench hostile`: Rank and Publish while hostile clients hold calls open, and memory of the servers.

Without tokens: calls without a message, watches of health and streams that are not read, from the address of the
client that is measured. With tokens: the same of 32 connections of one token, and the throughput of another token.
A call that the server ends is opened again, at a bounded rate: the benchmark is about held calls, not about a flood.
"""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import grpc
import numpy as np

from crossrec.events.v1 import events_pb2 as events
from export.evaluation.machine import machine, versions
from export.harness.environment import Environment
from export.harness.stage import (
    DATASET,
    DatasetStage,
    create_stage_topics,
    first_events,
    prepare_ranking,
    prepare_stage,
)
from services.client.service_config import RANK_RETRIES, RETRYABLE
from services.gateway.main import EVENT_SERVICE
from services.ranking.service import RANKING_SERVICE
from services.server.security.caller import Scope
from services.server.security.tokens import new_token
from services.settings.terminal import open_console
from tests.bench.hostile_clients import Attack
from tests.bench.processes import cpu_seconds, memory_bytes
from tests.bench.rank import CANDIDATES, HOUSEHOLDS, PACKAGES, seeded_requests

REQUESTS = 200
BATCH = 20
"""Events of a Publish call."""

IN_FLIGHT = 4
PAUSE_S = 0.01
"""Between two calls of the latency measurement."""

HOLDERS = 32
TIMEOUT_S = 60.0

_POLICY = {**RANK_RETRIES, "retryableStatusCodes": [*RETRYABLE, "CANCELLED"]}
RETRIES = json.dumps({"methodConfig": [{"name": [{}], "retryPolicy": _POLICY}]})
"""Of the clients that are measured: the server may cancel the first call of a connection, before it knows better."""

Metadata = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class AttackedServer:
    """A server under attack, and the calls that are measured.

    Args:
        name: of its process.
        address: host:port.
        path: of the method.
        bodies: serialised requests.
        streams: path of its streams; empty: it has none.
    """

    name: str
    address: str
    path: str
    bodies: Sequence[bytes]
    streams: str = ""


def run_bench_hostile(
    connections: int, calls: int, watches: int, streams: int, seconds: float, out: Path = Path("build/bench/hostile")
) -> dict[str, Any]:
    """Prepare data, store and model, start the servers, measure without and with the attack, stop everything."""
    console = open_console(stderr=True)
    found: dict[str, Any] = {}
    with Environment(out, DATASET) as environment:
        console.print(f"preparing {HOUSEHOLDS} households, a model and the online store")
        stage = prepare_stage(environment, HOUSEHOLDS)
        create_stage_topics(stage)
        prepare_ranking(stage)
        targets = make_targets(environment, stage)
        for target in targets:
            start(environment, target)
            warm_up(target)
        for target in targets:
            attack = make_attack(target, connections, calls, watches, streams)
            console.print(f"{target.name}: {connections} connections of {calls} calls, {watches} watches")
            found[target.name] = measure_latency(environment, target, attack, seconds)
        environment.processes.stop()
        tokens = protect(environment)
        for target in targets:
            start(environment, target)
            warm_up(target, tokens["modest"])
        for target in targets:
            attack = make_attack(target, HOLDERS, calls, watches, streams)
            console.print(f"{target.name}: {HOLDERS} connections of one token, throughput of another")
            held = replace(attack, token=tokens["greedy"])
            found[f"{target.name}_tokens"] = measure_throughput(environment, target, held, tokens["modest"], seconds)
    workload = {
        "data": f"Complete Journey, {HOUSEHOLDS} households, seed 0",
        "attack": {"connections": connections, "calls_each": calls, "watches": watches, "unread_streams": streams},
        "reopened_per_s": Attack("", "", 0, 0).reopened_per_s,
        "measured": f"{CANDIDATES} candidates a Rank, {BATCH} events a Publish, in turn, {PAUSE_S:g} s apart; "
        f"throughput with {IN_FLIGHT} in flight",
        "processes": "servers, Kafka, Valkey, hostile and measured clients share the machine",
    }
    return {**found, "workload": workload, "versions": versions(PACKAGES), "machine": machine()}


def make_targets(environment: Environment, stage: DatasetStage) -> list[AttackedServer]:
    """Both servers."""
    ranked = [request.SerializeToString() for request in seeded_requests(stage.history, REQUESTS, CANDIDATES)]
    entries = first_events(stage, REQUESTS * BATCH)
    batches = [entries[first : first + BATCH] for first in range(0, len(entries), BATCH)]
    published = [events.PublishRequest(entries=batch).SerializeToString() for batch in batches]
    return [
        AttackedServer("ranking", environment.ranking_address, f"/{RANKING_SERVICE}/Rank", ranked),
        AttackedServer(
            *("gateway", environment.gateway_address, f"/{EVENT_SERVICE}/Publish", published),
            streams=f"/{EVENT_SERVICE}/PublishStream",
        ),
    ]


def start(environment: Environment, target: AttackedServer) -> None:
    """Start the server of a target."""
    (environment.start_ranking if target.name == "ranking" else environment.start_gateway)()


def protect(environment: Environment) -> dict[str, str]:
    """Let servers that are started from now on require tokens; returns a token of the attacker and of another."""
    made = {name: new_token(name, frozenset(Scope)) for name in ("greedy", "modest")}
    file = environment.out / "tokens"
    file.write_text("".join(f"{line}\n" for _, line in made.values()))
    environment.set_variable("CROSSREC_SECURITY__TOKENS_FILE", str(file))
    return {name: token for name, (token, _) in made.items()}


def make_attack(target: AttackedServer, connections: int, calls: int, watches: int, streams: int) -> Attack:
    """The attack on a target; a stream is only attacked where there is one."""
    request = events.PublishStreamRequest(sequence=1, entries=[events.Entry()] * 10)
    return Attack(
        *(target.address, target.path, connections, calls, watches),
        streams=target.streams,
        stream_count=streams if target.streams else 0,
        stream_body=request.SerializeToString().hex(),
    )


@contextmanager
def attacking(attack: Attack, pid: int, counts: dict[str, Any]) -> Iterator[None]:
    """Attack inside the block, from when the server has settled; adds the attacker's counts at its end."""
    command = [sys.executable, "-m", "tests.bench.hostile_clients", attack.as_json()]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin
        assert process.stdout
        begun_s = time.monotonic()
        process.stdout.readline()
        counts["begun_within_s"] = round(time.monotonic() - begun_s, 1)
        process.stdout.readline()
        counts |= {"settled_within_s": round(time.monotonic() - begun_s, 1), "busy_share": busy_share(pid)}
        try:
            yield
        finally:
            process.stdin.close()
            counts["hostile_clients"] = json.loads(process.stdout.readline())


def busy_share(pid: int) -> float:
    """Share of a core that a process takes during a second."""
    begun_s, used_s = time.monotonic(), cpu_seconds(pid)
    time.sleep(1.0)
    return round((cpu_seconds(pid) - used_s) / (time.monotonic() - begun_s), 2)


def measure_latency(environment: Environment, target: AttackedServer, attack: Attack, seconds: float) -> dict[str, Any]:
    """Latency without and with the attack, and memory."""
    pid = environment.processes.running[target.name].pid
    counts: dict[str, Any] = {}
    before, rss = latencies(target, seconds), memory_bytes(pid, "VmRSS")
    with attacking(attack, pid, counts):
        during = latencies(target, seconds)
        held = memory_bytes(pid, "VmRSS")
    p50, p99 = (round(float(np.percentile(during, of) / np.percentile(before, of)), 2) for of in (50, 99))
    return {
        **{f"p{of}_ms": round(float(np.percentile(before, of)), 2) for of in (50, 99)},
        **{f"p{of}_ms_attacked": round(float(np.percentile(during, of)), 2) for of in (50, 99)},
        "p50_ratio": p50,
        "p99_ratio": p99,
        "calls": [len(before), len(during)],
        "rss_mib": [rss >> 20, held >> 20, memory_bytes(pid, "VmHWM") >> 20],
        **counts,
    }


def measure_throughput(
    environment: Environment, target: AttackedServer, attack: Attack, token: str, seconds: float
) -> dict[str, Any]:
    """Throughput of a token without and with the attack of another, and memory."""
    pid = environment.processes.running[target.name].pid
    counts: dict[str, Any] = {}
    before = throughput(target, token, seconds)
    with attacking(attack, pid, counts):
        during = throughput(target, token, seconds)
    return {
        "per_s": round(before, 1),
        "per_s_attacked": round(during, 1),
        "ratio": round(during / before, 2),
        "rss_mib": memory_bytes(pid, "VmHWM") >> 20,
        **counts,
    }


def latencies(target: AttackedServer, seconds: float) -> list[float]:
    """Milliseconds of calls, one after another; grpc.RpcError if one fails."""
    found = []
    with connected(target) as send:
        until_s = time.monotonic() + seconds
        while time.monotonic() < until_s:
            begun_s = time.perf_counter()
            send(len(found))
            found.append((time.perf_counter() - begun_s) * 1000)
            time.sleep(PAUSE_S)
    return found


def throughput(target: AttackedServer, token: str, seconds: float) -> float:
    """Answers per second with a constant number of calls in flight; grpc.RpcError if one fails."""
    until_s = time.monotonic() + seconds

    def work(number: int) -> int:
        with connected(target, token) as send:
            done = 0
            while time.monotonic() < until_s:
                send(number + done * IN_FLIGHT)
                done += 1
        return done

    with ThreadPoolExecutor(IN_FLIGHT) as pool:
        return sum(pool.map(work, range(IN_FLIGHT))) / seconds


def warm_up(target: AttackedServer, token: str = "") -> None:
    """Send a few calls."""
    with connected(target, token) as send:
        for number in range(100):
            send(number)


@contextmanager
def connected(target: AttackedServer, token: str = "") -> Iterator[Callable[[int], None]]:
    """Sends the request of a number, on a connection of its own, with retries as clients should have them."""
    metadata: Metadata = (("authorization", f"Bearer {token}"),) if token else ()
    options = [("grpc.use_local_subchannel_pool", 1), ("grpc.service_config", RETRIES)]
    with grpc.insecure_channel(target.address, options) as channel:
        call: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(target.path)

        def send(number: int) -> None:
            call(target.bodies[number % len(target.bodies)], timeout=TIMEOUT_S, metadata=metadata)

        yield send
