"""The gateway process: settings in, everything wired by hand, serves until a signal."""

import logging
from contextlib import nullcontext

from prometheus_client import CollectorRegistry

from services.gateway.health import KafkaHealth
from services.gateway.intake import Intake, IntakeConfig
from services.gateway.metrics import GatewayLoadMetrics, GatewayMetrics
from services.gateway.pressure import PendingBudget, RateLimits
from services.gateway.server import EVENT_SERVICE, build_server
from services.gateway.service import EventService
from services.gateway.stream import StreamLimits
from services.gateway.watch import EntryObserver
from services.kafka.kafka_publisher import KafkaPublisher
from services.kafka.publisher import Publisher
from services.server.lifecycle import serve_until_signal
from services.server.logging import configure_logging, log_event
from services.server.metrics_endpoint import serve_metrics
from services.server.security.protection import open_protection
from services.server.security.pseudonyms import open_pseudonymizer
from services.server.telemetry.setup import open_tracing
from services.settings.load import Settings

DRAIN_S = 10.0
"""Seconds that calls in progress get after the stop signal, and records on their way after that."""

MAX_CHECK_S = 3.0
"""Seconds until Kafka counts as away for a health check."""

METRICS_LISTEN = "gateway.metrics_listen"

_logger = logging.getLogger(__name__)


def run_gateway(settings: Settings) -> None:
    """Serve EventService until SIGTERM or SIGINT; main thread only.

    Starts without Kafka too: health is NOT_SERVING and requests are answered UNAVAILABLE until it is there.
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
    built = build_server(service, gateway.listen, protection, observe=metrics.called, tracing=tracing)
    log_event(_logger, "gateway_started", address=built.address, kafka=kafka.bootstrap_servers)
    check_s = min(gateway.kafka_timeout_s, MAX_CHECK_S)
    health = KafkaHealth(built.health, EVENT_SERVICE, publisher, gateway.health_interval_s, check_s)
    health.start()
    registry.register(GatewayLoadMetrics(intake.budget, rates, service, health))

    def close() -> None:
        health.stop()
        publisher.close(DRAIN_S)
        if tracing:
            tracing.close()

    address = gateway.metrics_listen
    with serve_metrics(METRICS_LISTEN, address, registry, health) if address else nullcontext():
        serve_until_signal(built.server, built.health, DRAIN_S, close, service.stop)
    log_event(_logger, "gateway_stopped")


def build_service(settings: Settings, intake: Intake, rates: RateLimits) -> EventService:
    """EventService as the settings have it."""
    gateway = settings.gateway
    return EventService(intake, rates, StreamLimits(gateway.stream_window), gateway.max_workers, gateway.max_streams)


def build_rates(settings: Settings) -> RateLimits:
    """How much clients may send, as the settings have it."""
    return RateLimits(settings.gateway.rate_limit_events_per_s, settings.gateway.rate_limit_burst)


def build_intake(settings: Settings, publisher: Publisher, watch: EntryObserver | None = None) -> Intake:
    """What judges entries and has them stored, as the settings have it; `watch` hears what becomes of them."""
    gateway = settings.gateway
    rules = IntakeConfig(
        features=settings.features,
        topic_prefix=settings.kafka.topic_prefix,
        future_tolerance_s=gateway.future_tolerance_s,
        max_age_s=settings.max_age_s,
        kafka_timeout_s=gateway.kafka_timeout_s,
        pseudonyms=open_pseudonymizer(settings.privacy),
    )
    budget = PendingBudget(gateway.max_pending_bytes, gateway.max_pending_records)
    return Intake(publisher, rules, budget, watch=watch)
