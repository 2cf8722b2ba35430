"""The log on Apache Kafka: a consumer group member, and transactions that carry offsets with outputs.

Offsets go with the group's metadata, so Kafka itself refuses the transaction of a member that lost its
partitions. The transactional id is the group's with the lowest assigned partition: a restarted consumer aborts
what its predecessor left open.
"""

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from kafka import ConsumerRebalanceListener, KafkaConsumer, KafkaProducer, OffsetAndMetadata, TopicPartition
from kafka import errors as kafka_errors

from services.consumers.log import LogUnavailable, LostPartitions, Output, Record
from services.runtime.logging import log_event

MAX_REQUEST_BYTES = 2 * 1024 * 1024
"""Dead letters carry headers on top of records of the largest size."""

_LOST = (
    kafka_errors.CommitFailedError,
    kafka_errors.IllegalGenerationError,
    kafka_errors.UnknownMemberIdError,
    kafka_errors.RebalanceInProgressError,
    kafka_errors.ProducerFencedError,
    kafka_errors.InvalidProducerEpochError,
)

_logger = logging.getLogger(__name__)

T = TypeVar("T")


@dataclass(frozen=True)
class KafkaLogConfig:
    """How to read one topic as a group member."""

    bootstrap_servers: str
    group: str
    topic: str
    max_poll_records: int
    session_timeout_ms: int
    transaction_timeout_ms: int
    committed_only: bool = False


class _Assignment(ConsumerRebalanceListener):  # type: ignore[misc]
    def __init__(self, group: str) -> None:
        self._group = group

    def on_partitions_revoked(self, revoked: Sequence[TopicPartition]) -> None:
        log_event(_logger, "partitions_revoked", group=self._group, partitions=sorted(p.partition for p in revoked))

    def on_partitions_assigned(self, assigned: Sequence[TopicPartition]) -> None:
        log_event(_logger, "partitions_assigned", group=self._group, partitions=sorted(p.partition for p in assigned))


class KafkaLog:
    """A Log over kafka-python."""

    def __init__(self, config: KafkaLogConfig) -> None:
        self._config = config
        self._consumer = KafkaConsumer(
            bootstrap_servers=config.bootstrap_servers,
            group_id=config.group,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            max_poll_records=config.max_poll_records,
            session_timeout_ms=config.session_timeout_ms,
            heartbeat_interval_ms=config.session_timeout_ms // 3,
            isolation_level="read_committed" if config.committed_only else "read_uncommitted",
            fetch_max_wait_ms=50,
        )
        self._consumer.subscribe([config.topic], listener=_Assignment(config.group))
        self._producer: KafkaProducer | None = None
        self._transactional_id = ""
        self._batch: dict[TopicPartition, int] = {}
        self._committed: dict[TopicPartition, int] = {}

    def poll(self, wait_s: float) -> list[Record]:
        """The next batch."""
        polled = _reached(lambda: self._consumer.poll(timeout_ms=int(wait_s * 1000)))
        self._batch = {partition: records[-1].offset + 1 for partition, records in polled.items()}
        if not polled:
            _reached(self._commit_markers)
        return [
            Record(r.topic, r.partition, r.offset, r.key, r.value, list(r.headers))
            for records in polled.values()
            for r in records
        ]

    def _commit_markers(self) -> None:
        """Commit positions that moved past transaction markers: else a group that read all seems to lag."""
        positions = {partition: self._consumer.position(partition) for partition in self._consumer.assignment()}
        moved = {p: offset for p, offset in positions.items() if offset > self._committed.get(p, 0)}
        if moved:
            self._consumer.commit({p: OffsetAndMetadata(offset, "", -1) for p, offset in moved.items()})
            self._committed |= moved

    def commit(self, outputs: Sequence[Output]) -> None:
        """Outputs and offsets in one transaction; offsets alone in a plain commit."""
        offsets = {partition: OffsetAndMetadata(offset, "", -1) for partition, offset in self._batch.items()}
        if not outputs:
            _reached(lambda: self._consumer.commit(offsets))
            self._committed |= self._batch
            return
        try:
            producer = self._ready_producer()
            producer.begin_transaction()
            sent = [producer.send(o.topic, key=o.key, value=o.value, headers=o.headers) for o in outputs]
            producer.send_offsets_to_transaction(offsets, self._consumer.group_metadata())
            producer.flush()
            for future in sent:
                future.get(timeout=0)
            producer.commit_transaction()
            self._committed |= self._batch
        except _LOST as error:
            self._drop_producer()
            raise LostPartitions(f"{type(error).__name__}: {error}") from error
        except (kafka_errors.KafkaError, AssertionError) as error:
            # Whether it was committed is not known: the producer that comes next settles it.
            self._drop_producer()
            raise LogUnavailable(f"{type(error).__name__}: {error}") from error

    def keep_alive(self, wait_s: float) -> bool:
        """Poll with all partitions paused."""
        held = set(self._batch)
        deadline = time.monotonic() + wait_s
        while (left := deadline - time.monotonic()) > 0:
            self._consumer.pause(*self._consumer.assignment())
            wait_ms = int(min(left, 0.5) * 1000)
            _reached(partial(self._consumer.poll, timeout_ms=wait_ms))
        kept: bool = held <= self._consumer.assignment()
        self._consumer.resume(*self._consumer.assignment())
        return kept

    def rewind(self) -> None:
        """Seek to what is committed, after ending any transaction of an earlier producer."""

        def seek() -> None:
            if self._transactional_id and self._producer is None:
                self._ready_producer()
            for partition in self._consumer.assignment():
                committed = self._consumer.committed(partition)
                if committed is None:
                    self._consumer.seek_to_beginning(partition)
                else:
                    self._consumer.seek(partition, committed)

        self._batch = {}
        _reached(seek)

    def close(self) -> None:
        """Leave the group and let go of the producer."""
        self._drop_producer()
        self._consumer.close(autocommit=False)

    def _ready_producer(self) -> KafkaProducer:
        lowest = min((partition.partition for partition in self._consumer.assignment()), default=0)
        wanted = f"{self._config.group}-{lowest}"
        if self._producer is None or wanted != self._transactional_id:
            self._drop_producer()
            self._transactional_id = wanted
            self._producer = KafkaProducer(
                bootstrap_servers=self._config.bootstrap_servers,
                transactional_id=wanted,
                transaction_timeout_ms=self._config.transaction_timeout_ms,
                acks="all",
                linger_ms=0,
                max_request_size=MAX_REQUEST_BYTES,
            )
            self._producer.init_transactions()
        return self._producer

    def _drop_producer(self) -> None:
        producer, self._producer = self._producer, None
        if producer is None:
            return
        try:
            producer.abort_transaction()
        except Exception as error:
            log_event(_logger, "transaction_not_aborted", level=logging.DEBUG, error=type(error).__name__)
        producer.close(timeout=1)


def _reached(call: Callable[[], T]) -> T:
    try:
        return call()
    except _LOST as error:
        raise LostPartitions(f"{type(error).__name__}: {error}") from error
    except kafka_errors.KafkaError as error:
        raise LogUnavailable(f"{type(error).__name__}: {error}") from error
