"""Faults of the ranking server, by alert: /metrics before the fault and during it."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import grpc
import numpy as np
from prometheus_client import CollectorRegistry

from crossrec.ranking.v1.ranking_pb2_grpc import RankingServiceStub
from services.features.encode import Tensors
from services.ranking.cache.item_cache import ItemCache
from services.ranking.cache.row_sources import open_row_sources
from services.ranking.metrics import AdmissionMetrics, ItemCacheMetrics, RankingMetrics
from services.ranking.model.ab_split import FixedModel
from services.ranking.model.loader import ModelLoader
from services.ranking.model.metrics import ModelMetrics
from services.ranking.model.shadow import ShadowScorer
from services.ranking.model.watcher import WatchedModels
from services.ranking.pipeline import Ranker
from services.ranking.process.worker_pool import WorkerPool
from services.ranking.service import RankingService, build_server
from services.registry.model import FakeModel, Scores
from services.registry.reader import Registry
from services.store.protocol import StoreUnavailable
from tests.contract.alert_rules import Scrapes, text_of
from tests.contract.rank_server import ENCODER, ITEMS, NOW_S, SCHEMA, SwitchedStore, filled_store, request
from tests.unit.ranking.model.tiny_models import CPU, register, truncate


class ControlledModel(FakeModel):
    """Signals `started`, ranks when `resumed` is set, raises `failure`."""

    def __init__(self) -> None:
        self.resumed, self.started = threading.Event(), threading.Event()
        self.resumed.set()
        self.wait_s = 0.0
        self.failure: Exception | None = None

    def score(self, tensors: Tensors, target: np.ndarray, _left_s: float = 0.0) -> Scores:
        self.started.set()
        threading.Event().wait(self.wait_s)
        self.resumed.wait()
        if self.failure:
            raise self.failure
        return super().score(tensors, target)


@dataclass
class Ranking:
    """A ranking server with metrics."""

    stub: RankingServiceStub
    registry: CollectorRegistry
    store: SwitchedStore
    model: ControlledModel
    clock_s: list[float]

    def rank(self, user_id: str = "ann", items: list[str] = ITEMS) -> grpc.StatusCode:
        """The code of the answer."""
        try:
            self.stub.Rank(request(user_id=user_id, items=items), timeout=300, wait_for_ready=True)
        except grpc.RpcError as error:
            return error.code()
        return grpc.StatusCode.OK

    def ended(self, calls: int) -> None:
        """Wait until that many calls have been counted: a call is counted after its answer is sent."""
        count = "crossrec_ranking_request_seconds_count"
        while (self.registry.get_sample_value(count) or 0) < calls:
            threading.Event().wait(0.01)


@contextmanager
def ranking(turns: int = 4, room: int = 8) -> Iterator[Ranking]:
    registry, store, model, clock_s = CollectorRegistry(), filled_store(), ControlledModel(), [0.0]
    metrics = RankingMetrics(registry)
    rows = open_row_sources(store, SCHEMA, ENCODER, 1000, 3600.0, 3600.0, max_scenarios=64)
    rows = replace(rows, items=ItemCache(store, SCHEMA, ENCODER, 1000, 3600.0, clock=lambda: clock_s[0]))
    ranker = Ranker(SCHEMA, rows, FixedModel(model), clock=lambda: NOW_S, observers=(metrics,))
    service = RankingService(ranker, turns, room)
    registry.register(AdmissionMetrics(service.admission))
    registry.register(ItemCacheMetrics(rows.items))
    built = build_server(service, "127.0.0.1:0", observe=metrics.on_call)
    built.server.start()
    try:
        with grpc.insecure_channel(built.address) as channel:
            yield Ranking(RankingServiceStub(channel), registry, store, model, clock_s)
    finally:
        built.server.stop(0).wait()


@contextmanager
def scraped(scene: Ranking) -> Iterator[list[str]]:
    """The metrics after one successful ranking, and at the end."""
    assert grpc.StatusCode.OK == scene.rank()
    scene.ended(1)
    texts = [text_of(scene.registry)]
    yield texts
    texts.append(text_of(scene.registry))


def model_takes_long(_: Path) -> Scrapes:
    with ranking() as scene, scraped(scene) as texts:
        scene.model.wait_s = 0.3
        assert grpc.StatusCode.OK == scene.rank()
        scene.ended(2)
    return Scrapes(*texts)


def model_raises(_: Path) -> Scrapes:
    with ranking() as scene, scraped(scene) as texts:
        scene.model.failure = RuntimeError("broken")
        assert grpc.StatusCode.INTERNAL == scene.rank()
        scene.ended(2)
    return Scrapes(*texts)


def callers_cancel(_: Path) -> Scrapes:
    with ranking() as scene, scraped(scene) as texts:
        calls, left = 1, 0.0
        while not left:  # the server may be notified only after it has answered
            scene.model.resumed.clear()
            scene.model.started.clear()
            call = scene.stub.Rank.future(request())
            scene.model.started.wait()
            call.cancel()
            threading.Event().wait(0.1)
            scene.model.resumed.set()
            calls += 1
            scene.ended(calls)
            left = scene.registry.get_sample_value("crossrec_ranking_requests_total", {"code": "CANCELLED"}) or 0.0
    return Scrapes(*texts)


def queue_is_full(_: Path) -> Scrapes:
    with ranking(turns=1, room=1) as scene, scraped(scene) as texts:
        scene.model.resumed.clear()
        scene.model.started.clear()
        with ThreadPoolExecutor(1) as pool:
            first = pool.submit(scene.rank)
            scene.model.started.wait()
            assert grpc.StatusCode.RESOURCE_EXHAUSTED == scene.rank()
            scene.model.resumed.set()
            assert grpc.StatusCode.OK == first.result()
        scene.ended(3)
    return Scrapes(*texts)


def store_fails(_: Path) -> Scrapes:
    with ranking() as scene, scraped(scene) as texts:
        scene.store.failure = StoreUnavailable("away")
        assert grpc.StatusCode.OK == scene.rank()
        scene.ended(2)
    return Scrapes(*texts)


def items_are_unknown(_: Path) -> Scrapes:
    with ranking() as scene, scraped(scene) as texts:
        assert grpc.StatusCode.OK == scene.rank(items=["nobody", "knows"])
        scene.ended(2)
    return Scrapes(*texts)


def items_are_not_read_again(_: Path) -> Scrapes:
    with ranking() as scene, scraped(scene) as texts:
        scene.clock_s[0] += 120
        assert grpc.StatusCode.OK == scene.rank()
        scene.ended(2)
    return Scrapes(*texts)


def new_model_is_broken(directory: Path) -> Scrapes:
    register(directory, SCHEMA, 1)
    registry, collected = Registry(directory), CollectorRegistry()
    load = ModelLoader(registry, SCHEMA, ENCODER, CPU)
    models = WatchedModels(registry, "tiny", "", load, ShadowScorer(1.0, 1), 60.0)
    models.open()
    collected.register(ModelMetrics(models))
    before = text_of(collected)
    register(directory, SCHEMA, 2, spoil=truncate)
    models.poll()
    return Scrapes(before, text_of(collected))


def _pool() -> tuple[WorkerPool, CollectorRegistry]:
    pool, registry = WorkerPool(2), CollectorRegistry()
    registry.register(pool)
    for pid in (1, 2):
        pool.on_started(pid)
        pool.on_ready(pid)
    return pool, registry


def workers_die(_: Path) -> Scrapes:
    pool, registry = _pool()
    before = text_of(registry)
    for pid in range(1, 5):
        pool.on_exit(pid, "killed by SIGKILL")
        pool.on_started(pid + 2)
        pool.on_ready(pid + 2)
    return Scrapes(before, text_of(registry))


def no_worker_starts(_: Path) -> Scrapes:
    pool, registry = _pool()
    before = text_of(registry)
    for pid in (1, 2):
        pool.on_exit(pid, "ended with status 1")
    return Scrapes(before, text_of(registry))


SCENES = {
    "RankingSlow": model_takes_long,
    "RankingFails": model_raises,
    "RankingTooLate": callers_cancel,
    "RankingSheds": queue_is_full,
    "RankingStoreAway": store_fails,
    "RankingDegraded": items_are_unknown,
    "RankingItemsOld": items_are_not_read_again,
    "RankingModelProblem": new_model_is_broken,
    "RankingWorkersDie": workers_die,
    "RankingNoWorker": no_worker_starts,
}
