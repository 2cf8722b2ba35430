"""Storing records in Kafka: one verb, a real adapter and a fake.

Knows nothing of entries or gRPC. A record counts as stored only when Kafka confirmed it on all in-sync replicas.
"""

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Protocol

from services.runtime.partitioning import partition_of

_DISCARD_S = 1.0
"""Seconds that a broken producer gets to fail the records it still holds."""


@dataclass(frozen=True)
class OutgoingRecord:
    """A record to store.

    Args:
        topic: full topic name.
        key: record key.
        partition_key: what is hashed for the partition; equal keys go to one partition in the order given.
        value: record value.
        headers: record headers.
    """

    topic: str
    key: bytes
    partition_key: bytes
    value: bytes
    headers: list[tuple[str, bytes]]


class Publisher(Protocol):
    """Stores records."""

    def publish(self, records: Sequence[OutgoingRecord], timeout_s: float) -> list[Exception | None]:
        """Store the records in order and wait at most `timeout_s` seconds.

        Returns one outcome per record: None if it is stored, else why that is not known. A record that failed by
        time-out may still be stored later; sending it again may store it twice.
        """
        ...

    def close(self, timeout_s: float) -> None:
        """Wait at most `timeout_s` seconds for records on their way, then let go of the connection."""
        ...


@dataclass
class MemoryPublisher:
    """Keeps records in memory; the fake.

    Args:
        failures: outcomes of the coming records by position in their batch; the rest succeed.
    """

    failures: dict[int, Exception] = field(default_factory=dict)
    stored: list[OutgoingRecord] = field(default_factory=list)
    closed: bool = False

    def publish(self, records: Sequence[OutgoingRecord], timeout_s: float) -> list[Exception | None]:
        """Append the records that are not told to fail."""
        del timeout_s
        outcomes = [self.failures.get(position) for position in range(len(records))]
        self.stored += [record for record, failure in zip(records, outcomes, strict=True) if failure is None]
        return outcomes

    def close(self, timeout_s: float) -> None:
        """Remember that it was closed."""
        del timeout_s
        self.closed = True


class KafkaPublisher:
    """Stores records in Kafka with one idempotent producer, shared by all threads.

    The connection is made by the first publish, and made anew when the producer does not get over something by
    itself: after a lasting error (it would answer every later record with that error), and when it has confirmed
    nothing for `timeout_s` (kafka-python's idempotent producer can stall for good when a broker was away for so
    long that records expired). Records that others have on their way then fail too, and may be sent again.

    Args:
        bootstrap_servers: Kafka brokers, host:port, comma-separated.
        timeout_s: the longest time-out of a publish, seconds; the producer gives up on a record after it.
        make_producer: makes a `kafka.KafkaProducer` from its configuration.
    """

    def __init__(
        self, bootstrap_servers: str, timeout_s: float, make_producer: Callable[..., Any] | None = None
    ) -> None:
        self._config = _producer_config(bootstrap_servers, timeout_s)
        self._make_producer = make_producer or _kafka_producer
        self._connecting = threading.Lock()
        self._producer: Any = None
        self._timeout_s = timeout_s
        self._failing_since: float | None = None

    def publish(self, records: Sequence[OutgoingRecord], timeout_s: float) -> list[Exception | None]:
        """Send the records, then wait for each confirmation; after a failed send the rest is not sent."""
        started = time.monotonic()
        deadline = started + timeout_s
        try:
            producer = self.connect(timeout_s)
        except Exception as error:
            return [error] * len(records)
        futures, failure = _send(producer, records, deadline)
        outcomes = [_outcome(future, deadline) for future in futures]
        outcomes += [failure] * (len(records) - len(futures))
        if self._is_broken(outcomes, started):
            self._discard(producer)
        return outcomes

    def connect(self, timeout_s: float) -> Any:
        """The producer, connected; kafka.errors.KafkaError if that takes longer than `timeout_s` seconds."""
        if not self._connecting.acquire(timeout=timeout_s):
            raise TimeoutError("no connection to Kafka yet")
        try:
            if self._producer is None:
                self._producer = self._make_producer(**self._config, bootstrap_timeout_ms=timeout_s * 1000)
            return self._producer
        finally:
            self._connecting.release()

    def close(self, timeout_s: float) -> None:
        """Flush and close the producer."""
        with self._connecting:
            producer, self._producer = self._producer, None
        if producer is not None:
            producer.close(timeout=timeout_s)

    def _is_broken(self, outcomes: list[Exception | None], started: float) -> bool:
        if None in outcomes or not outcomes:
            self._failing_since = None
        elif self._failing_since is None:
            self._failing_since = started
        lasting = any(getattr(error, "retriable", True) is False for error in outcomes)
        since = self._failing_since
        return lasting or (since is not None and time.monotonic() - since >= self._timeout_s)

    def _discard(self, producer: Any) -> None:
        with self._connecting:
            if self._producer is not producer:
                return
            self._producer = self._failing_since = None
        producer.close(timeout=_DISCARD_S)


def _producer_config(bootstrap_servers: str, timeout_s: float) -> dict[str, Any]:
    linger_ms = 2
    timeout_ms = max(int(timeout_s * 1000), linger_ms + 1)
    return {
        "bootstrap_servers": bootstrap_servers.split(","),
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


def _kafka_producer(**config: Any) -> Any:
    # Imported here, so that tests and whoever only needs the fake do not load the client.
    from kafka import KafkaProducer
    from kafka.errors import KafkaError

    class ClosableProducer(KafkaProducer):  # type: ignore[misc]
        def flush(self, timeout: float | None = None) -> None:
            # close() flushes first; were the time-out to end it there, the I/O thread would live on for good.
            with suppress(KafkaError):
                super().flush(timeout)

    return ClosableProducer(**config)


def _send(producer: Any, records: Sequence[OutgoingRecord], deadline: float) -> tuple[list[Any], Exception | None]:
    """Futures of the records that were sent, and what kept the rest from being sent."""
    futures: list[Any] = []
    try:
        for record in records:
            if time.monotonic() > deadline:
                return futures, TimeoutError("no time left to send")
            partition = partition_of(record.partition_key, producer.partitions_for(record.topic))
            futures.append(
                producer.send(record.topic, record.value, record.key, headers=record.headers, partition=partition)
            )
    except Exception as error:
        return futures, error
    return futures, None


def _outcome(future: Any, deadline: float) -> Exception | None:
    try:
        future.get(timeout=max(0.0, deadline - time.monotonic()))
    except Exception as error:
        return error
    return None
