"""Faults of the gateway, by alert: /metrics before the fault and during it."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc
from prometheus_client import CollectorRegistry

from crossrec.events.v1.events_pb2 import BehaviorEvent, Entry, PublishRequest
from crossrec.events.v1.events_pb2_grpc import EventServiceStub
from services.gateway.health import KafkaHealth
from services.gateway.intake import Intake
from services.gateway.main import EVENT_SERVICE
from services.gateway.main import build_server as build_gateway
from services.gateway.metrics import GatewayLoadMetrics as GatewayLoad
from services.gateway.metrics import GatewayMetrics
from services.gateway.pressure import PendingBudget, RateLimits
from services.gateway.service import CallLimits, EventService
from services.gateway.stream import StreamLimits
from services.kafka.publisher import MemoryPublisher
from tests.contract.alert_rules import Scrapes, text_of
from tests.contract.event_gateway import INTAKE_CONFIG
from tests.contract.event_gateway import NOW_S as GATEWAY_NOW_S
from tests.unit.server.health_services import new_health_service


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
        """Wait until that many calls have been counted."""
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
    intake = Intake(publisher, INTAKE_CONFIG, budget, now_s=lambda: GATEWAY_NOW_S, observer=metrics)
    service = EventService(intake, rates, StreamLimits(5000), CallLimits(8, 4, 4))
    built = build_gateway(service, "127.0.0.1:0", observe=metrics.on_call)
    health = KafkaHealth(new_health_service(), EVENT_SERVICE, publisher, 60.0, 1.0)
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
def scraped(scene: Gateway) -> Iterator[list[str]]:
    """The metrics after one valid event, and at the end."""
    assert grpc.StatusCode.OK == scene.publish(click())
    scene.ended(1)
    texts = [text_of(scene.registry)]
    yield texts
    texts.append(text_of(scene.registry))


def kafka_is_unavailable(_: Path) -> Scrapes:
    with gateway() as scene, scraped(scene) as texts:
        scene.publisher.failures = {0: TimeoutError("away")}
        for _ in range(3):
            scene.health.check()
    return Scrapes(*texts)


def kafka_confirms_nothing(_: Path) -> Scrapes:
    with gateway() as scene, scraped(scene) as texts:
        scene.publisher.failures = {0: TimeoutError("away")}
        assert grpc.StatusCode.UNAVAILABLE == scene.publish(click())
        scene.ended(2)
    return Scrapes(*texts)


def kafka_is_slow(_: Path) -> Scrapes:
    texts: list[str] = []
    with ThreadPoolExecutor(1) as pool, gateway(records=10) as scene:
        assert grpc.StatusCode.OK == scene.publish(click())
        texts.append(text_of(scene.registry))
        scene.publisher.holding = True
        publishing = pool.submit(scene.publish, *[click() for _ in range(9)])
        assert 9 == scene.publisher.wait_for_held(9)
        texts.append(text_of(scene.registry))
        scene.publisher.release()
        assert grpc.StatusCode.OK == publishing.result()
    return Scrapes(*texts)


def kafka_confirms_late(_: Path) -> Scrapes:
    with gateway() as scene, scraped(scene) as texts, ThreadPoolExecutor(1) as pool:
        scene.publisher.holding = True
        publishing = pool.submit(scene.publish, click())
        assert 1 == scene.publisher.wait_for_held(1)
        threading.Event().wait(1.1)
        scene.publisher.release()
        assert grpc.StatusCode.OK == publishing.result()
    return Scrapes(*texts)


def producer_sends_invalid_events(_: Path) -> Scrapes:
    with gateway() as scene, scraped(scene) as texts:
        assert grpc.StatusCode.OK == scene.publish(click(user_id=""))
        scene.ended(2)
    return Scrapes(*texts)


SCENES = {
    "GatewayKafkaAway": kafka_is_unavailable,
    "GatewayFails": kafka_confirms_nothing,
    "GatewayFull": kafka_is_slow,
    "GatewaySlow": kafka_confirms_late,
    "GatewayRejects": producer_sends_invalid_events,
}
