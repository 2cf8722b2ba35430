"""The gateway process: settings in, everything wired by hand, serves until a signal."""

import logging

from services.gateway.publisher import KafkaPublisher
from services.gateway.server import build_server
from services.gateway.service import EventService, Rules
from services.runtime.lifecycle import serve_until_signal
from services.runtime.logging import configure_logging, log_event
from services.runtime.settings import Settings

DRAIN_S = 10.0
"""Seconds that requests in progress get after the stop signal, and records on their way after that."""

_logger = logging.getLogger(__name__)


def run_gateway(settings: Settings) -> None:
    """Serve EventService until SIGTERM or SIGINT; main thread only.

    Starts without Kafka too: requests are answered UNAVAILABLE until it is there.
    """
    configure_logging()
    gateway = settings.gateway
    rules = Rules(
        features=settings.features,
        topic_prefix=settings.kafka.topic_prefix,
        future_tolerance_s=gateway.future_tolerance_s,
        max_age_s=settings.max_age_s,
        kafka_timeout_s=gateway.kafka_timeout_s,
    )
    publisher = KafkaPublisher(settings.kafka.bootstrap_servers, gateway.kafka_timeout_s)
    built = build_server(EventService(publisher, rules), gateway.listen, gateway.max_workers)
    log_event(_logger, "gateway_started", address=built.address, kafka=settings.kafka.bootstrap_servers)
    serve_until_signal(built.server, built.health, DRAIN_S, lambda: publisher.close(DRAIN_S))
    log_event(_logger, "gateway_stopped")
