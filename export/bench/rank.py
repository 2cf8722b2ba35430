"""`crossrec bench rank`: Rank over gRPC against Feast's get_online_features for the same rows, in one run."""

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import numpy as np
from rich.console import Console

from crossrec.ranking.v1 import ranking_pb2, ranking_pb2_grpc
from export.bench.stage import DATASET, open_ranking, set_stage
from export.demo.environment import Environment
from export.demo.stream import timestamp
from export.machine import machine, versions
from export.replay.history import History
from services.runtime.settings import Settings
from services.store.connect import feature_store
from services.store.feast_api import FeatureStore

HOUSEHOLDS = 100
CANDIDATES = 200
WARM_UP = 20
PACKAGES = ("crossrec", "feast", "grpcio", "onnxruntime-gpu", "redis", "numpy")


def run_bench_rank(requests: int, out: Path = Path("build/bench/rank")) -> dict[str, Any]:
    """Prepare data, store and model, start the ranking server, measure both paths, stop everything."""
    console = Console(stderr=True)
    with Environment(out, DATASET) as environment:
        console.print(f"preparing {HOUSEHOLDS} households, a model and the online store")
        stage = set_stage(environment, HOUSEHOLDS)
        open_ranking(stage)
        environment.start_ranking()
        asked = workload(stage.history, requests + WARM_UP)
        console.print(f"measuring {requests} requests per path")
        ours = _measure(_rank_call(environment.ranking_address), asked)
        theirs = _measure(_feast_call(stage.settings), asked)
    return figures(ours, theirs, requests)


def workload(history: History, requests: int) -> list[ranking_pb2.RankRequest]:
    """Seeded requests of real users for real items, 200 each, in scenarios that have labelled rows."""
    generator = np.random.default_rng(0)
    users, items = np.unique(history.requests.user.astype(str)), np.unique(history.requests.item.astype(str))
    scenarios = np.unique(history.requests.scenario.astype(str))
    now = timestamp(float(history.requests.time_s[-1]))
    return [
        ranking_pb2.RankRequest(
            user_id=str(generator.choice(users)),
            scenario_id=str(generator.choice(scenarios)),
            item_ids=generator.choice(items, CANDIDATES, replace=False).tolist(),
            request_time=now,
            options=ranking_pb2.RankOptions(explain=True),
        )
        for _ in range(requests)
    ]


def _measure(call: Callable[[ranking_pb2.RankRequest], None], asked: list[ranking_pb2.RankRequest]) -> np.ndarray:
    """Milliseconds of each call after the warm-up, one after another."""
    milliseconds = []
    for request in asked:
        begin = time.perf_counter()
        call(request)
        milliseconds.append((time.perf_counter() - begin) * 1000)
    return np.array(milliseconds[WARM_UP:])


def _rank_call(address: str) -> Callable[[ranking_pb2.RankRequest], None]:
    stub = ranking_pb2_grpc.RankingServiceStub(grpc.insecure_channel(address))  # type: ignore[no-untyped-call]

    def call(request: ranking_pb2.RankRequest) -> None:
        reply = stub.Rank(request, timeout=30)
        if len(reply.items) != CANDIDATES or reply.degraded:
            raise RuntimeError(f"the answer is not whole: {len(reply.items)} items, degraded: {reply.degraded}")

    return call


def _feast_call(settings: Settings) -> Callable[[ranking_pb2.RankRequest], None]:
    """The rows of a request through Feast's public API: user, items and items per scenario, each entity once."""
    store = feature_store(settings)
    scenarios = _scenario_ids(store)
    views = {
        view.name: [f"{view.name}:{feature.name}" for feature in view.features] for view in store.list_feature_views()
    }

    def call(request: ranking_pb2.RankRequest) -> None:
        user, items = request.user_id, list(request.item_ids)
        own = [{"user_id": user, "scenario_id": scenario} for scenario in scenarios]
        pairs = [{"item_id": item, "scenario_id": scenario} for item in items for scenario in scenarios]
        read = partial(store.get_online_features, full_feature_names=True)
        read(features=[*views["user"], *views["user_scenario"]], entity_rows=own)
        read(features=[*views["item"], *views["item_activity"]], entity_rows=[{"item_id": item} for item in items])
        read(features=[*views["item_scenario"], *views["item_scenario_activity"]], entity_rows=pairs)

    return call


def _scenario_ids(store: FeatureStore) -> list[str]:
    found = store.get_online_features(features=["scenario_index:scenario_ids"], entity_rows=[{"index_id": "all"}])
    ids: list[str] = found.to_dict()["scenario_ids"][0]
    return ids


def figures(ours: np.ndarray, theirs: np.ndarray, requests: int) -> dict[str, Any]:
    """What was measured, on what, with what."""
    p50, p99 = np.percentile(ours, [50, 99])
    feast_p50, feast_p99 = np.percentile(theirs, [50, 99])
    return {
        "p50_ms": round(float(p50), 2),
        "p99_ms": round(float(p99), 2),
        "feast_p50_ms": round(float(feast_p50), 2),
        "feast_p99_ms": round(float(feast_p99), 2),
        "speedup_over_feast_p50": round(float(feast_p50 / p50), 1),
        "workload": {
            "data": f"Complete Journey, {HOUSEHOLDS} households, seed 0",
            "requests": requests,
            "candidates": CANDIDATES,
            "explain": True,
            "arrivals": "one after another, client on the same machine",
            "feast": "get_online_features for the same user, item and item-per-scenario rows, no model",
        },
        "versions": versions(PACKAGES),
        "machine": machine(),
    }
