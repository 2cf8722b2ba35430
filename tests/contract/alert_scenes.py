"""For every alert: what is wrong, caused where the metrics come from, and /metrics before and meanwhile."""

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import grpc
import numpy as np
from grpc_health.v1.health import HealthServicer
from prometheus_client import CollectorRegistry

from crossrec.events.v1.events_pb2 import BehaviorEvent, Entry, PublishRequest
from crossrec.events.v1.events_pb2_grpc import EventServiceStub
from crossrec.ranking.v1.ranking_pb2_grpc import RankingServiceStub
from services.consumers.log import LogUnavailable
from services.features.encode import Tensors
from services.gateway.health import KafkaHealth
from services.gateway.intake import Intake
from services.gateway.metrics import GatewayMetrics
from services.gateway.metrics import LoadMetrics as GatewayLoad
from services.gateway.pressure import PendingBudget, RateLimits
from services.gateway.publisher import MemoryPublisher
from services.gateway.server import EVENT_SERVICE
from services.gateway.server import build_server as build_gateway
from services.gateway.service import EventService
from services.gateway.stream import StreamLimits
from services.ranking.fleet import Fleet
from services.ranking.item_cache import ItemCache
from services.ranking.metrics import LoadMetrics, RankingMetrics
from services.ranking.model import FakeModel, Scores
from services.ranking.pipeline import Ranker
from services.ranking.registry import Registry
from services.ranking.rows import open_ranking_rows
from services.ranking.service import RankingService, build_server
from services.ranking.serving.load import ModelLoader
from services.ranking.serving.metrics import ModelMetrics
from services.ranking.serving.served import OneModel
from services.ranking.serving.shadow import Shadow
from services.ranking.serving.watched import WatchedModels
from services.store.protocol import FencedWrite, StoreUnavailable
from tests.contract.alert_rules import Looks, text_of
from tests.contract.event_gateway import NOW_S as GATEWAY_NOW_S
from tests.contract.event_gateway import RULES
from tests.contract.rank_server import ENCODER, ITEMS, NOW_S, SCHEMA, SwitchedStore, filled_store, request
from tests.unit.consumers.test_watch import RECORDS, Scene
from tests.unit.ranking.serving.tiny_models import CPU, register, truncate

Cause = Callable[[Path], Looks]
SCENES: dict[str, Cause] = {}


def causes(alert: str) -> Callable[[Cause], Cause]:
    """Says which alert a scene is for."""

    def noted(scene: Cause) -> Cause:
        SCENES[alert] = scene
        return scene

    return noted


class Moody(FakeModel):
    """Ranks when `goes_on` is set; says that it `began`; raises `failure`."""

    def __init__(self) -> None:
        self.goes_on, self.began = threading.Event(), threading.Event()
        self.goes_on.set()
        self.wait_s = 0.0
        self.failure: Exception | None = None

    def score(self, tensors: Tensors, target: np.ndarray, _left_s: float = 0.0) -> Scores:
        self.began.set()
        threading.Event().wait(self.wait_s)
        self.goes_on.wait()
        if self.failure:
            raise self.failure
        return super().score(tensors, target)


@dataclass
class Ranking:
    """A ranking server with metrics."""

    stub: RankingServiceStub
    registry: CollectorRegistry
    store: SwitchedStore
    model: Moody
    clock_s: list[float]

    def rank(self, user_id: str = "ann", items: list[str] = ITEMS) -> grpc.StatusCode:
        """The code of the answer."""
        try:
            self.stub.Rank(request(user_id=user_id, items=items), timeout=300, wait_for_ready=True)
        except grpc.RpcError as error:
            return error.code()
        return grpc.StatusCode.OK

    def ended(self, calls: int) -> None:
        """Wait until so many calls have been counted: that is after their answers are sent."""
        count = "crossrec_ranking_request_seconds_count"
        while (self.registry.get_sample_value(count) or 0) < calls:
            threading.Event().wait(0.01)


@contextmanager
def ranking(turns: int = 4, room: int = 8) -> Iterator[Ranking]:
    registry, store, model, clock_s = CollectorRegistry(), filled_store(), Moody(), [0.0]
    metrics = RankingMetrics(registry)
    rows = open_ranking_rows(store, SCHEMA, ENCODER, 1000, 3600.0, 3600.0)
    rows = replace(rows, items=ItemCache(store, SCHEMA, ENCODER, 1000, 3600.0, clock=lambda: clock_s[0]))
    ranker = Ranker(SCHEMA, rows, OneModel(model), clock=lambda: NOW_S, observers=(metrics,))
    service = RankingService(ranker, turns, room)
    registry.register(LoadMetrics(service.admission, rows.items))
    built = build_server(service, "127.0.0.1:0", observe=metrics.called)
    built.server.start()
    try:
        with grpc.insecure_channel(built.address) as channel:
            yield Ranking(RankingServiceStub(channel), registry, store, model, clock_s)
    finally:
        built.server.stop(0).wait()


@contextmanager
def looked_at(scene: Ranking) -> Iterator[list[str]]:
    """A text before, after one good ranking, and one at the end."""
    assert grpc.StatusCode.OK == scene.rank()
    scene.ended(1)
    texts = [text_of(scene.registry)]
    yield texts
    texts.append(text_of(scene.registry))


@causes("RankingSlow")
def model_takes_long(_: Path) -> Looks:
    with ranking() as scene, looked_at(scene) as texts:
        scene.model.wait_s = 0.3
        assert grpc.StatusCode.OK == scene.rank()
        scene.ended(2)
    return Looks(*texts)


@causes("RankingFails")
def model_raises(_: Path) -> Looks:
    with ranking() as scene, looked_at(scene) as texts:
        scene.model.failure = RuntimeError("broken")
        assert grpc.StatusCode.INTERNAL == scene.rank()
        scene.ended(2)
    return Looks(*texts)


@causes("RankingTooLate")
def callers_leave(_: Path) -> Looks:
    with ranking() as scene, looked_at(scene) as texts:
        calls, left = 1, 0.0
        while not left:  # the server may hear of it only when it has answered
            scene.model.goes_on.clear()
            scene.model.began.clear()
            call = scene.stub.Rank.future(request())
            scene.model.began.wait()
            call.cancel()
            threading.Event().wait(0.1)
            scene.model.goes_on.set()
            calls += 1
            scene.ended(calls)
            left = scene.registry.get_sample_value("crossrec_ranking_requests_total", {"code": "CANCELLED"}) or 0.0
    return Looks(*texts)


@causes("RankingSheds")
def there_is_no_room(_: Path) -> Looks:
    with ranking(turns=1, room=1) as scene, looked_at(scene) as texts:
        scene.model.goes_on.clear()
        scene.model.began.clear()
        with ThreadPoolExecutor(1) as pool:
            first = pool.submit(scene.rank)
            scene.model.began.wait()
            assert grpc.StatusCode.RESOURCE_EXHAUSTED == scene.rank()
            scene.model.goes_on.set()
            assert grpc.StatusCode.OK == first.result()
        scene.ended(3)
    return Looks(*texts)


@causes("RankingStoreAway")
def store_fails(_: Path) -> Looks:
    with ranking() as scene, looked_at(scene) as texts:
        scene.store.failure = StoreUnavailable("away")
        assert grpc.StatusCode.OK == scene.rank()
        scene.ended(2)
    return Looks(*texts)


@causes("RankingDegraded")
def nobody_knows_the_items(_: Path) -> Looks:
    with ranking() as scene, looked_at(scene) as texts:
        assert grpc.StatusCode.OK == scene.rank(items=["nobody", "knows"])
        scene.ended(2)
    return Looks(*texts)


@causes("RankingItemsOld")
def items_are_not_read_again(_: Path) -> Looks:
    with ranking() as scene, looked_at(scene) as texts:
        scene.clock_s[0] += 120
        assert grpc.StatusCode.OK == scene.rank()
        scene.ended(2)
    return Looks(*texts)


@causes("RankingModelProblem")
def new_model_is_broken(directory: Path) -> Looks:
    register(directory, SCHEMA, 1)
    registry, collected = Registry(directory), CollectorRegistry()
    load = ModelLoader(registry, SCHEMA, ENCODER, CPU)
    models = WatchedModels(registry, "tiny", "", load, Shadow(1.0, 1), 60.0)
    models.open()
    collected.register(ModelMetrics(models))
    before = text_of(collected)
    register(directory, SCHEMA, 2, spoil=truncate)
    models.look()
    return Looks(before, text_of(collected))


def _fleet() -> tuple[Fleet, CollectorRegistry]:
    fleet, registry = Fleet(2), CollectorRegistry()
    registry.register(fleet)
    for pid in (1, 2):
        fleet.started(pid)
        fleet.became_ready(pid)
    return fleet, registry


@causes("RankingWorkersDie")
def workers_die(_: Path) -> Looks:
    fleet, registry = _fleet()
    before = text_of(registry)
    for pid in range(1, 5):
        fleet.gone(pid, "killed by SIGKILL")
        fleet.started(pid + 2)
        fleet.became_ready(pid + 2)
    return Looks(before, text_of(registry))


@causes("RankingNoWorker")
def no_worker_starts(_: Path) -> Looks:
    fleet, registry = _fleet()
    before = text_of(registry)
    for pid in (1, 2):
        fleet.gone(pid, "ended with status 1")
    return Looks(before, text_of(registry))


@dataclass
class Gateway:
    """A gateway with metrics."""

    stub: EventServiceStub
    registry: CollectorRegistry
    publisher: MemoryPublisher
    health: KafkaHealth

    def publish(self, *entries: Entry) -> grpc.StatusCode:
        """The code of the answer."""
        try:
            self.stub.Publish(PublishRequest(entries=entries), timeout=300, wait_for_ready=True)
        except grpc.RpcError as error:
            return error.code()
        return grpc.StatusCode.OK

    def ended(self, calls: int) -> None:
        """Wait until so many calls have been counted."""
        count = "crossrec_gateway_call_seconds_count", {"method": "Publish"}
        while (self.registry.get_sample_value(*count) or 0) < calls:
            threading.Event().wait(0.01)


def click(user_id: str = "ann") -> Entry:
    event = BehaviorEvent(user_id=user_id, scenario_id="tv", item_id="tea", type="EVENT_TYPE_CLICK")
    event.time.FromSeconds(int(GATEWAY_NOW_S) - 60)
    return Entry(behavior_event=event)


@contextmanager
def gateway(records: int = 50_000) -> Iterator[Gateway]:
    registry, publisher = CollectorRegistry(), MemoryPublisher()
    metrics, budget, rates = GatewayMetrics(registry), PendingBudget(1 << 20, records), RateLimits(0.0, 1000)
    intake = Intake(publisher, RULES, budget, now_s=lambda: GATEWAY_NOW_S, watch=metrics)
    service = EventService(intake, rates, StreamLimits(5000), 8, 4)
    built = build_gateway(service, "127.0.0.1:0", metrics.called)
    health = KafkaHealth(HealthServicer(), EVENT_SERVICE, publisher, 60.0, 1.0)
    health.check()
    registry.register(GatewayLoad(budget, rates, service, health))
    built.server.start()
    try:
        with grpc.insecure_channel(built.address) as channel:
            yield Gateway(EventServiceStub(channel), registry, publisher, health)
    finally:
        publisher.release()
        built.server.stop(0).wait()


@contextmanager
def watched(scene: Gateway) -> Iterator[list[str]]:
    """A text before, after one good event, and one at the end."""
    assert grpc.StatusCode.OK == scene.publish(click())
    scene.ended(1)
    texts = [text_of(scene.registry)]
    yield texts
    texts.append(text_of(scene.registry))


@causes("GatewayKafkaAway")
def kafka_is_away(_: Path) -> Looks:
    with gateway() as scene, watched(scene) as texts:
        scene.publisher.failures = {0: TimeoutError("away")}
        for _ in range(3):
            scene.health.check()
    return Looks(*texts)


@causes("GatewayFails")
def kafka_confirms_nothing(_: Path) -> Looks:
    with gateway() as scene, watched(scene) as texts:
        scene.publisher.failures = {0: TimeoutError("away")}
        assert grpc.StatusCode.UNAVAILABLE == scene.publish(click())
        scene.ended(2)
    return Looks(*texts)


@causes("GatewayFull")
def kafka_is_slow(_: Path) -> Looks:
    texts: list[str] = []
    with ThreadPoolExecutor(1) as pool, gateway(records=10) as scene:
        assert grpc.StatusCode.OK == scene.publish(click())
        texts.append(text_of(scene.registry))
        scene.publisher.holding = True
        publishing = pool.submit(scene.publish, *[click() for _ in range(9)])
        assert 9 == scene.publisher.held(9)
        texts.append(text_of(scene.registry))
        scene.publisher.release()
        assert grpc.StatusCode.OK == publishing.result()
    return Looks(*texts)


@causes("GatewaySlow")
def kafka_takes_its_time(_: Path) -> Looks:
    with gateway() as scene, watched(scene) as texts, ThreadPoolExecutor(1) as pool:
        scene.publisher.holding = True
        publishing = pool.submit(scene.publish, click())
        assert 1 == scene.publisher.held(1)
        threading.Event().wait(1.1)
        scene.publisher.release()
        assert grpc.StatusCode.OK == publishing.result()
    return Looks(*texts)


@causes("GatewayRejects")
def producer_sends_nonsense(_: Path) -> Looks:
    with gateway() as scene, watched(scene) as texts:
        assert grpc.StatusCode.OK == scene.publish(click(user_id=""))
        scene.ended(2)
    return Looks(*texts)


@dataclass
class Consumer:
    """A consumer that has folded its first batch, and the text of its metrics then."""

    scene: Scene = field(default_factory=Scene)
    before: str = ""

    def __post_init__(self) -> None:
        self.scene.watch.assigned([0])
        self.scene.clock.now_s = RECORDS[2].time_s + 1
        self.scene.watch.reached({0: (3, 3)})
        self.scene.folder.counts = Counter({("click", "folded"): 3})
        self.scene.loop.step()
        self.before = text_of(self.scene.registry)

    def looks(self) -> Looks:
        return Looks(self.before, text_of(self.scene.registry))


@causes("ConsumerBehind")
def folding_stands_still(_: Path) -> Looks:
    consumer = Consumer()
    scene = consumer.scene
    scene.folder.failures = [StoreUnavailable("away")]
    texts: list[Looks] = []

    def look(_seconds: float) -> bool:
        scene.watch.reached({0: (6, 6)})
        scene.clock.now_s += 120
        texts.append(consumer.looks())
        return True

    scene.log.keep_alive = look  # type: ignore[method-assign]
    scene.loop.step()
    return texts[0]


@causes("ConsumerSilent")
def nobody_does_anything(_: Path) -> Looks:
    consumer = Consumer()
    consumer.scene.clock.now_s += 1200
    return consumer.looks()


@causes("ConsumerDeadLetters")
def records_are_bad(_: Path) -> Looks:
    consumer = Consumer()
    consumer.scene.folder.counts, consumer.scene.folder.dead = Counter({("click", "folded"): 2}), [1]
    consumer.scene.loop.step()
    return consumer.looks()


@causes("ConsumerStoreAway")
def writes_fail(_: Path) -> Looks:
    consumer = Consumer()
    consumer.scene.log.keep_alive = lambda _: True  # type: ignore[method-assign]
    consumer.scene.folder.failures = [StoreUnavailable("away")]
    consumer.scene.loop.step()
    return consumer.looks()


@causes("ConsumerKafkaAway")
def polls_fail(_: Path) -> Looks:
    consumer = Consumer()
    consumer.scene.log.poll_failures = [LogUnavailable("away")]
    consumer.scene.loop.step()
    return consumer.looks()


@causes("ConsumerRebalances")
def consumers_come_and_go(_: Path) -> Looks:
    consumer = Consumer()
    for _ in range(8):
        consumer.scene.watch.revoked()
        consumer.scene.watch.assigned([0])
    return consumer.looks()


@causes("ConsumerFenced")
def rows_are_ahead(_: Path) -> Looks:
    consumer = Consumer()
    consumer.scene.folder.failures = [FencedWrite("1 rows")]
    consumer.scene.loop.step()
    return consumer.looks()
