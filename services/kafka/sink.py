"""A best-effort sink of records on a Kafka topic: its producer is opened at the first write, and again after a failure.

Only the served log's thread calls it, so it may block for a bounded time. While Kafka is unavailable records are lost;
begin and end of an outage are logged.
"""

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from services.kafka.connection import Kafka, kafka_arguments
from services.kafka.refusals import BATCH_BYTES, DEFAULT_BYTES
from services.server.logging import log_event

TIMEOUT_S = 5.0
"""Longest time for a batch, seconds."""

PAUSE_S = 5.0
"""Seconds after a failure without another attempt."""

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class KeyedRecord:
    """A record for the sink: key and value."""

    key: bytes
    value: bytes


class RecordSink(Protocol):
    """Writes records somewhere, best effort."""

    def ready(self) -> bool:
        """Whether a write may be attempted now; False during the pause after a failure."""
        ...

    def write(self, records: Sequence[KeyedRecord]) -> int:
        """Write the records; returns how many are stored. Takes bounded time; logs failures itself."""
        ...

    def close(self) -> None:
        """Release all resources; takes bounded time."""
        ...


def open_sink_producer(kafka: Kafka) -> Any:
    """A connected `kafka.KafkaProducer`; kafka.errors.KafkaError if no broker answers in time."""
    # Imported here, so that a server without a served log does not load the client.
    from kafka import KafkaProducer

    timeout_ms = int(TIMEOUT_S * 1000)
    return KafkaProducer(
        **kafka_arguments(kafka),
        # A lost or repeated record does no harm: no idempotence, with which a producer can stall after a long outage.
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
        self._failing = self._too_large = False

    def ready(self) -> bool:
        """Whether the pause after a failure is over."""
        return self._clock() >= self._paused_until

    def write(self, records: Sequence[KeyedRecord]) -> int:
        """Send the records and wait for the confirmations; returns how many were confirmed.

        Records that Kafka would refuse for their size are left out: the others would be lost with them.
        """
        written, fitting = 0, [record for record in records if self._fits(record)]
        deadline_s = self._clock() + TIMEOUT_S
        try:
            if self._producer is None:
                self._producer = self._make_producer()
            for sent in [self._producer.send(self._topic, record.value, record.key) for record in fitting]:
                sent.get(timeout=max(deadline_s - self._clock(), 0.001))
                written += 1
        except Exception as error:
            # Whatever the client library raises: the served log must not fail the server.
            self._on_failure(error)
        else:
            self._on_success()
        return written

    def close(self) -> None:
        """Close the producer, if there is one."""
        producer, self._producer = self._producer, None
        if producer is not None:
            try:
                producer.close(timeout=1.0)
            except Exception as error:
                log_event(_logger, "served_log_not_closed", level=logging.WARNING, error=type(error).__name__)

    def _fits(self, record: KeyedRecord) -> bool:
        size = len(record.key) + len(record.value) + BATCH_BYTES
        if size > DEFAULT_BYTES and not self._too_large:
            self._too_large = True
            log_event(_logger, "served_record_too_large", level=logging.WARNING, bytes=size, most=DEFAULT_BYTES)
        return size <= DEFAULT_BYTES

    def _on_failure(self, error: Exception) -> None:
        self._paused_until = self._clock() + PAUSE_S
        if not self._failing:
            self._failing = True
            log_event(
                _logger, "served_log_unavailable", level=logging.WARNING, topic=self._topic, error=type(error).__name__
            )
        self.close()

    def _on_success(self) -> None:
        if self._failing:
            self._failing = False
            log_event(_logger, "served_log_recovered", topic=self._topic)
