"""One connected Kafka producer: its records in flight, and how to detect that it is broken.

Knows kafka-python and nothing of reconnecting.
"""

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from services.errors import Unavailable
from services.kafka.publisher import Confirmation, OutgoingRecord, failed_confirmation
from services.kafka.topics import partition_of


class KafkaConnection:
    """An idempotent producer, shared by all threads.

    Args:
        producer: a `kafka.KafkaProducer` with `broker_answers` (see `open_producer`).
        stall_s: seconds without any confirmation, while records are in flight, after which it counts as broken.
        clock_s: the clock, seconds.
    """

    def __init__(self, producer: Any, stall_s: float, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._producer = producer
        self._stall_s = stall_s
        self._clock_s = clock_s
        self._lock = threading.Lock()
        self._in_flight: dict[Confirmation, float] = {}  # when each was sent, oldest first
        self._waiting_since: float | None = None  # first send after the last confirmation
        self._confirmed = False
        self._fatal_error: Exception | None = None
        self._closed = False

    def send(self, records: Sequence[OutgoingRecord], deadline_s: float) -> list[Confirmation]:
        """Send the records in order; after one that fails, and after `deadline_s`, the rest fails too."""
        confirmations: list[Confirmation] = []
        try:
            for record in records:
                confirmations.append(self._send(record, deadline_s))  # noqa: PERF401 - those before a failure count
        except Exception as error:
            self._record_error(error)
            confirmations += [failed_confirmation(error) for _ in records[len(confirmations) :]]
        return confirmations

    def is_broken(self) -> bool:
        """Whether the producer must be replaced.

        An idempotent producer fails every record after its first fatal error. And kafka-python's can stall forever,
        for some partitions or all, when a broker was unreachable for so long that records expired.
        """
        with self._lock:
            oldest_s = next(iter(self._in_flight.values()), None)
            now_s = self._clock_s()
            stalled = self._waiting_since is not None and now_s - self._waiting_since >= self._stall_s
            return bool(
                self._fatal_error or stalled or (oldest_s is not None and now_s - oldest_s >= 2 * self._stall_s)
            )

    def check(self, timeout_s: float) -> None:
        """Return if a record was confirmed since the last check, or a broker answers; raise the reason otherwise."""
        with self._lock:
            confirmed, self._confirmed = self._confirmed, False
            silent_s = 0.0 if self._waiting_since is None else self._clock_s() - self._waiting_since
        if confirmed:
            return
        if silent_s >= self._stall_s / 2:
            raise Unavailable(f"Kafka has confirmed nothing for {silent_s:.1f} s")
        if not self._producer.broker_answers(timeout_s):
            raise Unavailable(f"no Kafka broker answers within {timeout_s:g} s")

    def close(self, timeout_s: float) -> None:
        """Flush and close the producer; records that are not confirmed after `timeout_s` seconds fail."""
        self._producer.close(timeout=timeout_s)
        with self._lock:
            self._closed = True
            unconfirmed = list(self._in_flight)
        for confirmation in unconfirmed:
            self._end(confirmation, Unavailable("the connection to Kafka was closed"))

    def _send(self, record: OutgoingRecord, deadline_s: float) -> Confirmation:
        if self._clock_s() > deadline_s:
            raise TimeoutError("no time left to send")
        partition = partition_of(record.partition_key, self._producer.partitions_for(record.topic))
        confirmation = self._begin()
        try:
            sent = self._producer.send(
                record.topic, record.value, record.key, headers=record.headers, partition=partition
            )
        except Exception:
            with self._lock:
                self._in_flight.pop(confirmation, None)
            raise
        sent.add_callback(lambda _: self._end(confirmation, None))
        sent.add_errback(lambda error: self._end(confirmation, error))
        return confirmation

    def _begin(self) -> Confirmation:
        confirmation = Confirmation()
        with self._lock:
            if self._closed:
                raise Unavailable("the connection to Kafka was closed")
            now_s = self._clock_s()
            self._in_flight[confirmation] = now_s
            if self._waiting_since is None:
                self._waiting_since = now_s
        return confirmation

    def _end(self, confirmation: Confirmation, error: Exception | None) -> None:
        with self._lock:
            if self._in_flight.pop(confirmation, None) is None:
                return
            if error is None:
                self._confirmed = True
                self._waiting_since = self._clock_s() if self._in_flight else None
        if error is None:
            confirmation.set_result(None)
        else:
            self._record_error(error)
            confirmation.set_exception(error)

    def _record_error(self, error: Exception) -> None:
        if getattr(error, "retriable", True) is False:
            self._fatal_error = error


def open_producer(**config: Any) -> Any:
    """A connected `kafka.KafkaProducer`; kafka.errors.KafkaError if no broker answers in time."""
    # Imported here, so that tests with the fake do not load the client.
    from kafka import KafkaProducer
    from kafka.errors import KafkaError

    class Producer(KafkaProducer):  # type: ignore[misc]
        def broker_answers(self, timeout_s: float) -> bool:
            """Whether a broker answers now: a request for metadata, as `send` makes it for a new topic."""
            answered = threading.Event()
            update = self._metadata.request_update()
            update.add_both(lambda _: answered.set())
            self._sender.wakeup()
            return answered.wait(timeout_s) and update.succeeded()

        def flush(self, timeout: float | None = None) -> None:
            # close() flushes first; if the time-out were raised there, the I/O thread would never end.
            with suppress(KafkaError):
                super().flush(timeout)

    return Producer(**config)
