"""Transactions on Apache Kafka that write outputs and a group's offsets together.

The transactional id is the group's with its lowest assigned partition, so a consumer that takes a crashed one's
place ends what that left open; where the number of consumers changed, it may have to wait for the time-out. Offsets
go with the membership under which the batch was read: Kafka refuses those of a member that lost its partitions.
"""

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

from kafka import KafkaProducer, OffsetAndMetadata, TopicPartition
from kafka import errors as kafka_errors
from kafka.structs import ConsumerGroupMetadata

from services.kafka.connection import Kafka, kafka_arguments
from services.kafka.record_source import KafkaUnavailable, LostPartitions, OutputRecord
from services.server.logging import log_event

MAX_REQUEST_BYTES = 2 * 1024 * 1024
"""Dead letters carry headers on top of records of the largest size."""

BATCH_BYTES = 512 * 1024
"""Of a request; with kafka-python's own 16 kB a transaction would be some hundred round trips."""

LOST = (
    kafka_errors.CommitFailedError,
    kafka_errors.IllegalGenerationError,
    kafka_errors.UnknownMemberIdError,
    kafka_errors.RebalanceInProgressError,
    kafka_errors.ProducerFencedError,
    kafka_errors.InvalidProducerEpochError,
)
"""What Kafka says to a member that is no longer the owner."""

RECONNECT_MS = 2_000
"""Longest wait between two attempts to reach a broker, milliseconds; kafka-python's own is half a minute."""

_logger = logging.getLogger(__name__)


class _Producer(KafkaProducer):  # type: ignore[misc]
    """A producer that can be closed while its broker is away."""

    def flush(self, timeout: float | None = None) -> None:
        """Wait for what was sent; the futures tell whether it was stored."""
        # close() flushes first; were the time-out to end it there, the I/O thread would live on for good.
        with suppress(kafka_errors.KafkaError):
            super().flush(timeout)


class TransactionalProducer:
    """One transaction at a time, by one producer that is made anew after every failure.

    Args:
        kafka: how Kafka is reached.
        group: the consumer group.
        timeout_ms: after which Kafka aborts a transaction that nobody ends; also the longest wait for Kafka.
    """

    def __init__(self, kafka: Kafka, group: str, timeout_ms: int) -> None:
        self._kafka, self._group, self._timeout_ms = kafka, group, timeout_ms
        self._producer: _Producer | None = None
        self._transactional_id = ""
        self._unsettled = False

    def commit(
        self,
        lowest: int,
        outputs: Sequence[OutputRecord],
        offsets: Mapping[TopicPartition, OffsetAndMetadata],
        membership: ConsumerGroupMetadata,
    ) -> None:
        """Write outputs and offsets, all or nothing; `lowest` is the lowest assigned partition.

        Raises LostPartitions, or KafkaUnavailable when the outcome is not known before `settle`.
        """
        try:
            producer = self._ready(f"{self._group}-{lowest}")
            self._within_timeout(lambda: self._commit(producer, outputs, offsets, membership))
        except LOST as error:
            self._abort()
            raise LostPartitions(type(error).__name__) from error
        except (kafka_errors.KafkaError, AssertionError, ValueError) as error:  # ValueError: there is no such partition
            self._unsettled = True
            self.close()
            raise KafkaUnavailable(f"transaction: {type(error).__name__}: {error}") from error

    def take_over(self, lowest: int) -> None:
        """End what a former owner with the same lowest partition left open."""
        self._ready(f"{self._group}-{lowest}")

    def settle(self) -> None:
        """End a transaction whose outcome is not known, so that its offsets are committed or never will be."""
        if self._unsettled:
            self._ready(self._transactional_id)
            self._unsettled = False

    def close(self) -> None:
        """Let go of the producer; the next one with its transactional id ends what it left open."""
        producer, self._producer = self._producer, None
        if producer is not None:
            try:
                producer.close(timeout=1)
            except Exception as error:
                log_event(_logger, "producer_not_closed", level=logging.DEBUG, error=type(error).__name__)

    @staticmethod
    def _commit(
        producer: _Producer,
        outputs: Sequence[OutputRecord],
        offsets: Mapping[TopicPartition, OffsetAndMetadata],
        membership: ConsumerGroupMetadata,
    ) -> None:
        producer.begin_transaction()
        sent = [
            producer.send(o.topic, key=o.key, value=o.value, headers=o.headers, partition=o.partition) for o in outputs
        ]
        producer.send_offsets_to_transaction(dict(offsets), membership)
        producer.flush()
        for future in sent:
            future.get(timeout=0)
        producer.commit_transaction()

    def _ready(self, transactional_id: str) -> _Producer:
        if self._producer is None or transactional_id != self._transactional_id:
            self.close()
            self._transactional_id = transactional_id
            producer = _Producer(
                **kafka_arguments(self._kafka),
                transactional_id=transactional_id,
                transaction_timeout_ms=self._timeout_ms,
                max_block_ms=self._timeout_ms,
                bootstrap_timeout_ms=self._timeout_ms,
                reconnect_backoff_max_ms=RECONNECT_MS,
                acks="all",
                linger_ms=0,
                batch_size=BATCH_BYTES,
                max_request_size=MAX_REQUEST_BYTES,
            )
            try:
                producer.init_transactions()
            except BaseException:
                producer.close(timeout=0)
                raise
            self._producer = producer
        return self._producer

    def _abort(self) -> None:
        """Abort at once what would otherwise hold up readers of committed data until it times out."""
        producer = self._producer
        if producer is not None:
            try:
                self._within_timeout(producer.abort_transaction)
            except Exception as error:  # a fenced producer cannot; its successor has done it
                log_event(_logger, "transaction_not_aborted", level=logging.DEBUG, error=type(error).__name__)
        self.close()

    def _within_timeout(self, call: Callable[[], object]) -> None:
        """Run a call that kafka-python would wait in without end while brokers are away, deaf to any stop."""
        outcome: list[Exception | None] = []

        def run() -> None:
            try:
                call()
                outcome.append(None)
            except Exception as error:
                outcome.append(error)

        worker = threading.Thread(target=run, daemon=True)
        worker.start()
        worker.join(self._timeout_ms / 1000)
        if not outcome:
            raise kafka_errors.KafkaTimeoutError(f"no answer within {self._timeout_ms} ms")
        if outcome[0] is not None:
            raise outcome[0]
