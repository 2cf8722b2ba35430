"""Transactions on Apache Kafka that write outputs and a group's offsets atomically.

The transactional id is the group and its lowest assigned partition, so a consumer that replaces a crashed one ends the
transaction that this left open; if the number of consumers changed, it may have to wait for the time-out. Offsets are
committed with the membership under which the batch was read: Kafka rejects those of a member that lost its partitions.
"""

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

from kafka import KafkaProducer, OffsetAndMetadata, TopicPartition
from kafka import errors as kafka_errors
from kafka.structs import ConsumerGroupMetadata

from services.kafka.connection import Kafka, KafkaUnavailable, kafka_arguments
from services.kafka.record_source import LostPartitions, OutputRecord, OutputsRejected
from services.server.logging import log_event

MAX_REQUEST_BYTES = 2 * 1024 * 1024
"""Room for a dead letter: headers on top of a record of the largest size."""

BATCH_BYTES = 512 * 1024
"""Bytes per batch; with kafka-python's default of 16 kB a transaction would take some hundred round trips."""

LOST_OWNERSHIP = (
    kafka_errors.CommitFailedError,
    kafka_errors.IllegalGenerationError,
    kafka_errors.UnknownMemberIdError,
    kafka_errors.RebalanceInProgressError,
    kafka_errors.ProducerFencedError,
    kafka_errors.InvalidProducerEpochError,
)
"""Errors that Kafka returns to a member that no longer owns its partitions."""

REJECTED = (
    kafka_errors.MessageSizeTooLargeError,
    kafka_errors.RecordListTooLargeError,
    kafka_errors.InvalidRecordError,
    kafka_errors.InvalidTimestampError,
    kafka_errors.UnsupportedForMessageFormatError,
    UnicodeError,
    TypeError,
)
"""Errors about a record itself, of brokers and of the client: sent again, it would fail again."""

RECONNECT_MS = 2_000
"""Longest wait between two connection attempts, milliseconds; kafka-python's default is half a minute."""

_logger = logging.getLogger(__name__)


class _ClosableProducer(KafkaProducer):  # type: ignore[misc]
    """A producer that can be closed while its broker is unreachable."""

    def flush(self, timeout: float | None = None) -> None:
        """Wait for the records sent; the futures hold the outcome."""
        # close() flushes first; if the time-out were raised there, the I/O thread would never end.
        with suppress(kafka_errors.KafkaError):
            super().flush(timeout)


class TransactionalProducer:
    """Runs one transaction at a time, with a producer that is replaced after every failure.

    Args:
        kafka: connection settings.
        group: the consumer group.
        timeout_ms: milliseconds until Kafka aborts a transaction that was not ended; also the longest wait for Kafka.
    """

    def __init__(self, kafka: Kafka, group: str, timeout_ms: int) -> None:
        self._kafka, self._group, self._timeout_ms = kafka, group, timeout_ms
        self._producer: _ClosableProducer | None = None
        self._transactional_id = ""
        self._outcome_unknown = False

    def commit(
        self,
        lowest: int,
        outputs: Sequence[OutputRecord],
        offsets: Mapping[TopicPartition, OffsetAndMetadata],
        membership: ConsumerGroupMetadata,
    ) -> None:
        """Write outputs and offsets atomically; `lowest` is the lowest assigned partition.

        Raises OutputsRejected, LostPartitions, or KafkaUnavailable; then the outcome is known only after `end_unknown`.
        """
        try:
            producer = self._open_producer(f"{self._group}-{lowest}")
            self._within_timeout(lambda: self._commit(producer, outputs, offsets, membership))
        except LOST_OWNERSHIP as error:
            self._abort()
            raise LostPartitions(type(error).__name__) from error
        except REJECTED as error:
            self._abort()
            raise OutputsRejected(f"{type(error).__name__}: {error}") from error
        except (kafka_errors.KafkaError, AssertionError, ValueError) as error:  # ValueError: there is no such partition
            self._outcome_unknown = True
            self.close()
            raise KafkaUnavailable(f"transaction: {type(error).__name__}: {error}") from error

    def fence_predecessor(self, lowest: int) -> None:
        """End the open transaction of a former owner with the same lowest partition."""
        self._open_producer(f"{self._group}-{lowest}")

    def end_unknown(self) -> None:
        """End a transaction whose outcome is unknown: afterwards its offsets are committed or never will be."""
        if self._outcome_unknown:
            self._open_producer(self._transactional_id)
            self._outcome_unknown = False

    def close(self) -> None:
        """Close the producer; the next one with its transactional id ends its open transaction."""
        producer, self._producer = self._producer, None
        if producer is not None:
            try:
                producer.close(timeout=1)
            except Exception as error:
                log_event(_logger, "producer_not_closed", level=logging.DEBUG, error=type(error).__name__)

    @staticmethod
    def _commit(
        producer: _ClosableProducer,
        outputs: Sequence[OutputRecord],
        offsets: Mapping[TopicPartition, OffsetAndMetadata],
        membership: ConsumerGroupMetadata,
    ) -> None:
        producer.begin_transaction()
        sent = [
            producer.send(o.topic, key=o.key, value=o.value, headers=o.headers, partition=o.partition) for o in outputs
        ]
        try:
            producer.send_offsets_to_transaction(dict(offsets), membership)
            producer.flush()
            for future in sent:
                future.get(timeout=0)
            producer.commit_transaction()
        except kafka_errors.KafkaError as error:
            # After the first failure everything else fails because of it, in other words.
            failures = [future.exception for future in sent if future.failed()]
            raise next((failure for failure in failures if isinstance(failure, REJECTED)), error) from None

    def _open_producer(self, transactional_id: str) -> _ClosableProducer:
        if self._producer is None or transactional_id != self._transactional_id:
            self.close()
            self._transactional_id = transactional_id
            producer = _ClosableProducer(
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
        """Abort now: readers of committed records would wait for the open transaction until it times out."""
        producer = self._producer
        if producer is not None:
            try:
                self._within_timeout(producer.abort_transaction)
            except Exception as error:  # a fenced producer cannot abort; its successor has done so
                log_event(_logger, "transaction_not_aborted", level=logging.DEBUG, error=type(error).__name__)
        self.close()

    def _within_timeout(self, call: Callable[[], object]) -> None:
        """Run a call in which kafka-python would wait without limit while brokers are unreachable."""
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
