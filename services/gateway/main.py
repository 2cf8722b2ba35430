"""The gateway process: wires intake, service, gRPC server, metrics and health, and serves until a signal."""

import logging
from contextlib import nullcontext
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry

from crossrec.events.v1 import events_pb2
from crossrec.events.v1.events_pb2_grpc import add_EventServiceServicer_to_server
from services.gateway.batch import MAX_ENTRIES, IntakeConfig
from services.gateway.health import KafkaHealth
from services.gateway.intake import EntryObserver, Intake
from services.gateway.metrics import GatewayLoadMetrics, GatewayMetrics
from services.gateway.pressure import PendingBudget, RateLimits
from services.gateway.service import CallLimits, EventService
from services.gateway.stream import StreamLimits
from services.kafka.kafka_publisher import KafkaPublisher
from services.kafka.publisher import Publisher
from services.server.call_observer import Observe
from services.server.grpc_server import BoundServer, ServerLimits
from services.server.grpc_server import build_server as build_grpc_server
from services.server.lifecycle import serve_until_signal
from services.server.logging import configure_logging, log_event
from services.server.metrics_endpoint import serve_metrics
from services.server.security.protection import UNPROTECTED, Protection, open_protection
from services.server.security.pseudonyms import open_pseudonymizer
from services.server.self_probe import SelfProbe
from services.server.telemetry.setup import open_tracing
from services.server.wire_count import WireLimit
from services.settings.load import Settings

if TYPE_CHECKING:
    from services.server.telemetry.opentelemetry import Tracing

EVENT_SERVICE = events_pb2.DESCRIPTOR.services_by_name["EventService"].full_name

MAX_REQUEST_BYTES = 8 * 1024 * 1024

WIRE_LIMITS = {
    f"/{EVENT_SERVICE}/{method}": WireLimit("entries", request.ENTRIES_FIELD_NUMBER, MAX_ENTRIES)
    for method, request in (("Publish", events_pb2.PublishRequest), ("PublishStream", events_pb2.PublishStreamRequest))
}
"""Most entries of requests, counted before a request is parsed."""

SPARE_THREADS = 4
"""Threads beyond one per batch and stream, so that rejections and health checks need not wait for one of those."""

DRAIN_S = 10.0
"""Seconds for calls in progress after the stop signal, and then again for records in flight."""

MAX_CHECK_S = 3.0
"""Seconds after which a health check counts Kafka as unavailable."""

METRICS_LISTEN = "gateway.metrics_listen"

_logger = logging.getLogger(__name__)


def run_gateway(settings: Settings) -> None:
    """Serve EventService until SIGTERM or SIGINT; main thread only.

    Starts without Kafka too: until Kafka is available, health is NOT_SERVING and requests are answered UNAVAILABLE.
    """
    configure_logging()
    gateway, kafka = settings.gateway, settings.kafka
    publisher: Publisher = KafkaPublisher(kafka, gateway.kafka_timeout_s)
    tracing = open_tracing(settings.telemetry, "gateway")
    if tracing:
        from services.gateway.traced_publisher import TracedPublisher

        publisher = TracedPublisher(publisher, tracing)
    registry = CollectorRegistry()
    metrics = GatewayMetrics(registry)
    intake, rates = build_intake(settings, publisher, metrics), build_rates(settings)
    service = build_service(settings, intake, rates)
    protection = open_protection(settings.security)
    built = build_server(service, gateway.listen, protection, observe=metrics.on_call, tracing=tracing)
    log_event(_logger, "gateway_started", address=built.address, kafka=kafka.bootstrap_servers)
    check_s = min(gateway.kafka_timeout_s, MAX_CHECK_S)
    probe = SelfProbe(built.probe_address)
    health = KafkaHealth(
        built.health, EVENT_SERVICE, publisher, gateway.health_interval_s, check_s, lambda: probe.reason
    )
    health.start()
    registry.register(GatewayLoadMetrics(intake.budget, rates, service, health))

    def end_streams() -> None:
        probe.stop()
        service.stop()

    def close() -> None:
        health.stop()
        publisher.close(DRAIN_S)
        if tracing:
            tracing.close()

    address = gateway.metrics_listen
    with serve_metrics(METRICS_LISTEN, address, registry, health) if address else nullcontext():
        serve_until_signal(built.server, built.health, DRAIN_S, close, end_streams, probe.start)
    log_event(_logger, "gateway_stopped")


def build_service(settings: Settings, intake: Intake, rates: RateLimits) -> EventService:
    """EventService with the limits of the settings."""
    gateway = settings.gateway
    streams = StreamLimits(gateway.stream_window, idle_s=gateway.stream_idle_s)
    calls = CallLimits(gateway.max_workers, gateway.max_streams, gateway.max_streams_per_client)
    return EventService(intake, rates, streams, calls)


def build_rates(settings: Settings) -> RateLimits:
    """The rate limits of the settings."""
    return RateLimits(settings.gateway.rate_limit_events_per_s, settings.gateway.rate_limit_burst)


def build_intake(settings: Settings, publisher: Publisher, observer: EntryObserver | None = None) -> Intake:
    """The intake with the settings' configuration; `observer` is notified of the outcome of entries."""
    gateway = settings.gateway
    config = IntakeConfig(
        features=settings.features,
        topic_prefix=settings.kafka.topic_prefix,
        future_tolerance_s=gateway.future_tolerance_s,
        max_age_s=settings.max_age_s,
        kafka_timeout_s=gateway.kafka_timeout_s,
        pseudonyms=open_pseudonymizer(settings.privacy),
    )
    budget = PendingBudget(gateway.max_pending_bytes, gateway.max_pending_records)
    return Intake(publisher, config, budget, observer=observer)


def build_server(
    service: EventService,
    listen: str,
    protection: Protection = UNPROTECTED,
    *,
    observe: Observe | None = None,
    tracing: "Tracing | None" = None,
) -> BoundServer:
    """Bind EventService with health and reflection to `listen`.

    `observe` is called for every call that ended, `tracing` makes spans of them.
    """

    def register(server: object) -> None:
        add_EventServiceServicer_to_server(service, server)  # type: ignore[no-untyped-call]

    # The service itself limits concurrency: calls waiting in the queue of a thread pool could not be rejected, and a
    # stream keeps its thread for as long as it is open.
    threads = service.max_calls + SPARE_THREADS
    return build_grpc_server(
        EVENT_SERVICE,
        register,
        listen,
        ServerLimits(threads, MAX_REQUEST_BYTES, WIRE_LIMITS),
        protection=protection,
        observe=observe,
        tracing=tracing,
    )
