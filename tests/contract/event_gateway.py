"""A gateway on a real channel, with the in-memory publisher behind it."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import grpc

from crossrec.events.v1.events_pb2 import Entry, EntryResult, PublishRequest
from crossrec.events.v1.events_pb2_grpc import EventServiceStub
from services.features.config import Attribute, FeatureConfig
from services.gateway.batch import IntakeConfig
from services.gateway.intake import Intake
from services.gateway.main import build_server
from services.gateway.pressure import PendingBudget, RateLimits
from services.gateway.service import CallLimits, EventService
from services.gateway.stream import StreamLimits
from services.kafka.publisher import MemoryPublisher, Publisher
from services.server.grpc_server import BoundServer
from services.server.security.protection import UNPROTECTED, Protection
from services.server.telemetry.opentelemetry import Tracing

NOW_S = 1_800_000_000.0
INTAKE_CONFIG = IntakeConfig(
    features=FeatureConfig(
        attributes=(Attribute("weight", "item"), Attribute("margin", "item_scenario"), Attribute("hour", "context"))
    ),
    topic_prefix="crossrec",
    future_tolerance_s=300.0,
    max_age_s=float("inf"),
    kafka_timeout_s=10.0,
)


@dataclass(frozen=True)
class Bounds:
    """The limits of a test's gateway."""

    budget: PendingBudget = field(default_factory=lambda: PendingBudget(64 * 1024 * 1024, 50_000))
    rates: RateLimits = field(default_factory=lambda: RateLimits(0.0, 1000))
    stream: StreamLimits = field(default_factory=lambda: StreamLimits(window=5000))
    max_batches: int = 8
    max_streams: int = 4
    max_streams_per_client: int = 4


@dataclass
class Gateway:
    """A running gateway as a client sees it, and its publisher."""

    channel: grpc.Channel
    stub: EventServiceStub
    built: BoundServer
    service: EventService
    publisher: MemoryPublisher

    def publish(self, *entries: Entry) -> list[EntryResult]:
        return list(self.stub.Publish(PublishRequest(entries=entries), timeout=300, wait_for_ready=True).results)


def event_service(
    publisher: Publisher, config: IntakeConfig = INTAKE_CONFIG, bounds: Bounds | None = None
) -> EventService:
    """A service with a clock fixed at NOW_S."""
    chosen = bounds or Bounds()
    intake = Intake(publisher, config, chosen.budget, now_s=lambda: NOW_S, make_id=lambda: "made")
    calls = CallLimits(chosen.max_batches, chosen.max_streams, chosen.max_streams_per_client)
    return EventService(intake, chosen.rates, chosen.stream, calls)


@contextmanager
def running(
    publisher: Publisher,
    config: IntakeConfig = INTAKE_CONFIG,
    bounds: Bounds | None = None,
    protection: Protection = UNPROTECTED,
    tracing: Tracing | None = None,
) -> Iterator[Gateway]:
    """Serve on a free port of the loopback interface."""
    service = event_service(publisher, config, bounds)
    built = build_server(service, "127.0.0.1:0", protection, tracing=tracing)
    built.server.start()
    try:
        with grpc.insecure_channel(built.address) as channel:
            yield Gateway(channel, EventServiceStub(channel), built, service, publisher)  # type: ignore[arg-type]
    finally:
        service.stop()
        built.server.stop(0).wait()
