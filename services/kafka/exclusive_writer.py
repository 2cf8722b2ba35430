"""Records written in one Kafka transaction by one process at a time: all of them or none.

Opening a writer ends the transactions of earlier writers with the same id: their committed records can be read, and the
others will never be committed.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from kafka import KafkaProducer
from kafka.errors import KafkaError

from services.kafka.connection import WAIT_S, Kafka, kafka_arguments, translate_errors
from services.kafka.record_source import OutputRecord
from services.kafka.transactions import MAX_REQUEST_BYTES


@dataclass(frozen=True)
class WrittenRecord:
    """Where a written record is."""

    topic: str
    partition: int
    offset: int


class ExclusiveWriter:
    """Writes records in transactions.

    Args:
        producer: a transactional producer whose transactions are initialised.
    """

    def __init__(self, producer: KafkaProducer) -> None:
        self._producer = producer

    def partitions(self, topic: str) -> set[int]:
        """The topic's partitions."""
        found: set[int] = self._producer.partitions_for(topic)
        return found

    def write(self, records: Sequence[OutputRecord]) -> list[WrittenRecord]:
        """Write the records in one transaction; returns where they are, in order."""
        producer = self._producer
        producer.begin_transaction()
        try:
            futures = [
                producer.send(r.topic, r.value, r.key, headers=r.headers, partition=r.partition) for r in records
            ]
            producer.commit_transaction()
            stored: list[Any] = [future.get(timeout=WAIT_S) for future in futures]
        except KafkaError:
            # An open transaction would hold up all readers of the topics until it times out.
            with suppress(KafkaError):
                producer.abort_transaction()
            raise
        return [WrittenRecord(at.topic, at.partition, at.offset) for at in stored]


@contextmanager
def open_exclusive_writer(kafka: Kafka, transactional_id: str) -> Iterator[ExclusiveWriter]:
    """A writer. Errors of Kafka's client within the context are raised as KafkaUnavailable."""
    with translate_errors(kafka):
        producer = KafkaProducer(
            **kafka_arguments(kafka),
            bootstrap_timeout_ms=int(WAIT_S * 1000),
            max_block_ms=int(WAIT_S * 1000),
            transactional_id=transactional_id,
            acks="all",
            max_request_size=MAX_REQUEST_BYTES,
        )
        try:
            producer.init_transactions()
            yield ExclusiveWriter(producer)
        finally:
            producer.close(timeout=WAIT_S)
