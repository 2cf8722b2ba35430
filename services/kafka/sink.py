"""Records to a Kafka topic: a producer of its own, opened when there is something to write, and anew after a failure.

Only the log's thread calls it, so it may wait, within bounds. While Kafka is away records are lost, one log line says
so and another when it is over.
"""

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from services.kafka.connection import Kafka, kafka_arguments
from services.server.logging import log_event

TIMEOUT_S = 5.0
"""Longest that a batch may take."""

PAUSE_S = 5.0
"""Seconds without a try after a failure."""

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class KeyedRecord:
    """A record for the sink: key and value."""

    key: bytes
    value: bytes


class RecordSink(Protocol):
    """Where records go."""

    def ready(self) -> bool:
        """Whether it is worth trying to write now; False during a pause after a failure."""
        ...

    def write(self, records: Sequence[KeyedRecord]) -> int:
        """Write the records; returns how many are safe. Takes bounded time; failures are its own matter to report."""
        ...

    def close(self) -> None:
        """Let go of everything; takes bounded time."""
        ...


def open_producer(kafka: Kafka) -> Any:
    """A connected `kafka.KafkaProducer`; kafka.errors.KafkaError if no broker answers in time."""
    # Imported here, so that a server without a served log does not load the client.
    from kafka import KafkaProducer

    timeout_ms = int(TIMEOUT_S * 1000)
    return KafkaProducer(
        **kafka_arguments(kafka),
        # A lost or repeated record harms no one: no idempotence, which a broker that was away for long can stall.
        enable_idempotence=False,
        acks=1,
        linger_ms=5,
        max_block_ms=timeout_ms,
        request_timeout_ms=timeout_ms - 5,
        delivery_timeout_ms=timeout_ms,
        bootstrap_timeout_ms=timeout_ms,
        reconnect_backoff_max_ms=1000,
        allow_auto_create_topics=False,
        metrics_enabled=False,
    )


class KafkaSink:
    """Writes to one topic.

    Args:
        topic: its name.
        make_producer: opens a producer.
        clock: monotonic seconds.
    """

    def __init__(
        self, topic: str, make_producer: Callable[[], Any], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._topic, self._make_producer, self._clock = topic, make_producer, clock
        self._producer: Any = None
        self._paused_until = -float("inf")
        self._away = False

    def ready(self) -> bool:
        """Whether no pause is on."""
        return self._clock() >= self._paused_until

    def write(self, records: Sequence[KeyedRecord]) -> int:
        """Send the records and wait for Kafka to have them; returns how many it has."""
        written = 0
        deadline_s = self._clock() + TIMEOUT_S
        try:
            if self._producer is None:
                self._producer = self._make_producer()
            for sent in [self._producer.send(self._topic, record.value, record.key) for record in records]:
                sent.get(timeout=max(deadline_s - self._clock(), 0.001))
                written += 1
        except Exception as error:
            # Whatever a client library raises: the log is never worth more than the server.
            self._failed(error)
        else:
            self._well()
        return written

    def close(self) -> None:
        """Close the producer, if there is one."""
        producer, self._producer = self._producer, None
        if producer is not None:
            try:
                producer.close(timeout=1.0)
            except Exception as error:
                log_event(_logger, "served_log_not_closed", level=logging.WARNING, error=type(error).__name__)

    def _failed(self, error: Exception) -> None:
        self._paused_until = self._clock() + PAUSE_S
        if not self._away:
            self._away = True
            log_event(_logger, "served_log_away", level=logging.WARNING, topic=self._topic, error=type(error).__name__)
        self.close()

    def _well(self) -> None:
        if self._away:
            self._away = False
            log_event(_logger, "served_log_back", topic=self._topic)
