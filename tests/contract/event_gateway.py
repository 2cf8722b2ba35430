"""A gateway on a real channel, with the in-memory publisher behind it."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import grpc

from crossrec.events.v1.events_pb2 import Entry, EntryResult, PublishRequest
from crossrec.events.v1.events_pb2_grpc import EventServiceStub
from services.features.config import Attribute, FeatureConfig
from services.gateway.publisher import MemoryPublisher, Publisher
from services.gateway.server import build_server
from services.gateway.service import EventService, Rules
from services.runtime.grpc_server import BoundServer

NOW_S = 1_800_000_000.0
RULES = Rules(
    features=FeatureConfig(
        attributes=(Attribute("weight", "item"), Attribute("margin", "item_scenario"), Attribute("hour", "context"))
    ),
    topic_prefix="crossrec",
    future_tolerance_s=300.0,
    max_age_s=float("inf"),
    kafka_timeout_s=10.0,
)


@dataclass
class Gateway:
    """A running gateway as a client sees it, and what is behind it."""

    channel: grpc.Channel
    stub: EventServiceStub
    built: BoundServer
    publisher: MemoryPublisher

    def publish(self, *entries: Entry) -> list[EntryResult]:
        return list(self.stub.Publish(PublishRequest(entries=entries), timeout=30, wait_for_ready=True).results)


@contextmanager
def running(publisher: Publisher, rules: Rules = RULES) -> Iterator[Gateway]:
    """Serve on a free port of the loopback interface, with a clock that stands still at NOW_S."""
    service = EventService(publisher, rules, now_s=lambda: NOW_S, make_id=lambda: "made")
    built = build_server(service, "127.0.0.1:0", max_workers=4)
    built.server.start()
    try:
        with grpc.insecure_channel(built.address) as channel:
            yield Gateway(channel, EventServiceStub(channel), built, publisher)  # type: ignore[arg-type]
    finally:
        built.server.stop(0).wait()
