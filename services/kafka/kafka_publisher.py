"""The publisher on Kafka: connects when needed, and replaces a broken connection."""

import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from typing import Any

from services.errors import Unavailable
from services.kafka.connection import Kafka, kafka_arguments
from services.kafka.producer import KafkaConnection, open_producer
from services.kafka.publisher import Confirmation, OutgoingRecord, failed_confirmation
from services.kafka.refusals import RecordLimits
from services.kafka.topics import record_limits

_DISCARD_S = 1.0
"""Seconds that a broken producer gets to fail the records it still holds."""


class KafkaPublisher:
    """Stores records in Kafka with one idempotent producer, shared by all threads.

    The first send or check connects; the next one after the connection broke replaces it. Records in flight on a
    broken connection fail then, and may be sent again.

    Args:
        kafka: connection settings; their files are read again for each connection.
        timeout_s: seconds until the producer fails an unconfirmed record.
        make_producer: makes a producer from its configuration, see `open_producer`.
        read_limits: reads the largest record of topics.
    """

    def __init__(
        self,
        kafka: Kafka,
        timeout_s: float,
        make_producer: Callable[..., Any] = open_producer,
        read_limits: Callable[[Kafka, Collection[str]], Mapping[str, int]] = record_limits,
    ) -> None:
        kafka_arguments(kafka)  # raises at the start if a file is missing
        self._kafka, self._config = kafka, _producer_config(timeout_s)
        self._make_producer = make_producer
        self._timeout_s = timeout_s
        self._limits = RecordLimits(partial(read_limits, kafka))
        self._connecting = threading.Lock()
        self._connection: KafkaConnection | None = None
        self._closed = False

    def send(self, records: Sequence[OutgoingRecord], timeout_s: float) -> list[Confirmation]:
        """Send the records over the connection, which is opened or replaced first if need be."""
        deadline_s = time.monotonic() + timeout_s
        try:
            connection = self._ensure_connection(timeout_s)
        except Exception as error:
            return [failed_confirmation(error) for _ in records]
        return connection.send(records, deadline_s)

    def check(self, timeout_s: float) -> None:
        """See `KafkaConnection.check`; kafka.errors.KafkaError or TimeoutError if no connection can be opened.

        Also reads the topics' limits of records when it is time.
        """
        self._ensure_connection(timeout_s).check(timeout_s)
        self._limits.refresh()

    def close(self, timeout_s: float) -> None:
        """Flush and close the connection; later sends fail."""
        with self._connecting:
            self._closed = True
            connection, self._connection = self._connection, None
            if connection is not None:
                connection.close(timeout_s)

    def _ensure_connection(self, timeout_s: float) -> KafkaConnection:
        if not self._connecting.acquire(timeout=max(0.0, timeout_s)):
            raise TimeoutError("no connection to Kafka yet")
        try:
            if self._closed:
                raise Unavailable("the publisher is closed")
            if self._connection is not None and self._connection.is_broken():
                # Under the lock: records that the old one still stores come before those of the new one.
                self._connection.close(_DISCARD_S)
                self._connection = None
            if self._connection is None:
                self._connection = self._connect(max(0.0, timeout_s))
            return self._connection
        finally:
            self._connecting.release()

    def _connect(self, timeout_s: float) -> KafkaConnection:
        arguments = {**kafka_arguments(self._kafka), **self._config}
        producer = self._make_producer(**arguments, bootstrap_timeout_ms=timeout_s * 1000)
        return KafkaConnection(producer, self._timeout_s, self._limits)


def _producer_config(timeout_s: float) -> dict[str, Any]:
    linger_ms = 2
    timeout_ms = max(int(timeout_s * 1000), linger_ms + 1)
    return {
        "acks": "all",
        "enable_idempotence": True,
        "linger_ms": linger_ms,
        "batch_size": 128 * 1024,
        "max_block_ms": timeout_ms,
        "request_timeout_ms": timeout_ms - linger_ms,
        "delivery_timeout_ms": timeout_ms,
        "reconnect_backoff_max_ms": 1000,
        "allow_auto_create_topics": False,
        "metrics_enabled": False,
    }
