"""The gateway process: settings in, everything wired by hand, serves until a signal."""

import logging

from services.gateway.health import KafkaHealth
from services.gateway.intake import Intake, Rules
from services.gateway.kafka_publisher import KafkaPublisher
from services.gateway.pressure import PendingBudget, RateLimits
from services.gateway.publisher import Publisher
from services.gateway.server import EVENT_SERVICE, build_server
from services.gateway.service import EventService
from services.gateway.stream import StreamLimits
from services.runtime.lifecycle import serve_until_signal
from services.runtime.logging import configure_logging, log_event
from services.runtime.security.protection import open_protection
from services.runtime.settings import Settings

DRAIN_S = 10.0
"""Seconds that calls in progress get after the stop signal, and records on their way after that."""

MAX_CHECK_S = 3.0
"""Seconds until Kafka counts as away for a health check."""

_logger = logging.getLogger(__name__)


def run_gateway(settings: Settings) -> None:
    """Serve EventService until SIGTERM or SIGINT; main thread only.

    Starts without Kafka too: health is NOT_SERVING and requests are answered UNAVAILABLE until it is there.
    """
    configure_logging()
    gateway, kafka = settings.gateway, settings.kafka
    publisher = KafkaPublisher(kafka, gateway.kafka_timeout_s)
    service = build_service(settings, publisher)
    built = build_server(service, gateway.listen, open_protection(settings.security))
    log_event(_logger, "gateway_started", address=built.address, kafka=kafka.bootstrap_servers)
    check_s = min(gateway.kafka_timeout_s, MAX_CHECK_S)
    health = KafkaHealth(built.health, EVENT_SERVICE, publisher, gateway.health_interval_s, check_s)
    health.start()

    def close() -> None:
        health.stop()
        publisher.close(DRAIN_S)

    serve_until_signal(built.server, built.health, DRAIN_S, close, service.stop)
    log_event(_logger, "gateway_stopped")


def build_service(settings: Settings, publisher: Publisher) -> EventService:
    """EventService as the settings have it."""
    gateway = settings.gateway
    rates = RateLimits(gateway.rate_limit_events_per_s, gateway.rate_limit_burst)
    limits = StreamLimits(gateway.stream_window)
    return EventService(build_intake(settings, publisher), rates, limits, gateway.max_workers, gateway.max_streams)


def build_intake(settings: Settings, publisher: Publisher) -> Intake:
    """What judges entries and has them stored, as the settings have it."""
    gateway = settings.gateway
    rules = Rules(
        features=settings.features,
        topic_prefix=settings.kafka.topic_prefix,
        future_tolerance_s=gateway.future_tolerance_s,
        max_age_s=settings.max_age_s,
        kafka_timeout_s=gateway.kafka_timeout_s,
    )
    return Intake(publisher, rules, PendingBudget(gateway.max_pending_bytes, gateway.max_pending_records))
