"""One connected Kafka producer: its records in flight, and how to detect that it is broken.

Knows kafka-python and nothing of reconnecting.
"""

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from services.errors import StorageRefused, Unavailable
from services.kafka.publisher import Confirmation, OutgoingRecord, failed_confirmation
from services.kafka.refusals import BATCH_BYTES, TOO_LARGE, RecordLimits, RecordTooLarge, find_refusal
from services.kafka.topics import partition_of


class KafkaConnection:
    """An idempotent producer, shared by all threads.

    Args:
        producer: a `kafka.KafkaProducer` with `broker_answers` (see `open_producer`).
        stall_s: seconds without any confirmation, while records are in flight, after which it counts as broken.
        limits: the largest record of each topic; larger ones are not sent, for the producer would be of no use then.
        clock_s: the clock, seconds.
    """

    def __init__(
        self, producer: Any, stall_s: float, limits: RecordLimits, clock_s: Callable[[], float] = time.monotonic
    ) -> None:
        self._producer, self._limits = producer, limits
        self._stall_s = stall_s
        self._clock_s = clock_s
        self._lock = threading.Lock()
        self._in_flight: dict[Confirmation, float] = {}  # when each was sent, oldest first
        self._waiting_since: float | None = None  # first send after the last confirmation
        self._confirmed = False
        self._fatal: tuple[Exception, OutgoingRecord] | None = None  # and the record that it belongs to
        self._closed = False

    def send(self, records: Sequence[OutgoingRecord], deadline_s: float) -> list[Confirmation]:
        """Send the records in order; after one that fails for a passing reason, and after `deadline_s`, send none."""
        confirmations: list[Confirmation] = []
        refused: dict[str, StorageRefused] = {}
        try:
            for record in records:
                confirmations.append(self._send(record, deadline_s, refused))  # noqa: PERF401 - those before a failure count
        except Exception as error:
            failed = records[len(confirmations)]
            confirmations.append(failed_confirmation(self._judge(error, failed)))
            unsent = Unavailable(f"not sent, because an earlier record failed ({type(error).__name__})")
            confirmations += [failed_confirmation(unsent) for _ in records[len(confirmations) :]]
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
            return bool(self._fatal or stalled or (oldest_s is not None and now_s - oldest_s >= 2 * self._stall_s))

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

    def _send(self, record: OutgoingRecord, deadline_s: float, refused: dict[str, StorageRefused]) -> Confirmation:
        if self._clock_s() > deadline_s:
            raise TimeoutError("no time left to send")
        size, most = record.size + BATCH_BYTES, self._limits.most(record.topic)
        if size > most:
            return failed_confirmation(RecordTooLarge(record.topic, size, most))
        if record.topic in refused:
            return failed_confirmation(refused[record.topic])
        try:
            partitions = self._producer.partitions_for(record.topic)
        except Exception as error:
            refusal = find_refusal(error, record.topic)
            if refusal is None:
                raise
            return failed_confirmation(refused.setdefault(record.topic, refusal))
        partition = partition_of(record.partition_key, partitions)
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
        sent.add_errback(lambda error: self._end(confirmation, self._judge(error, record)))
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
            confirmation.set_exception(error)

    def _judge(self, error: Exception, record: OutgoingRecord) -> Exception:
        """The error of a record as its sender gets it.

        An idempotent producer fails every record with its first fatal error: only the first of them, and those of its
        topic if the topic is refused, are refused permanently.
        """
        if getattr(error, "retriable", True) is not False:
            return error
        with self._lock:
            if self._fatal is None:
                self._fatal = error, record
            cause, culprit = self._fatal
        if error is cause and record is not culprit and (_is_too_large(error) or record.topic != culprit.topic):
            return Unavailable("the connection to Kafka ended because of another record")
        if _is_too_large(error):
            size = record.size + BATCH_BYTES
            return RecordTooLarge(record.topic, size, self._limits.learn(record.topic, size))
        return find_refusal(error, record.topic) or error


def _is_too_large(error: Exception) -> bool:
    return type(error).__name__ in TOO_LARGE


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
