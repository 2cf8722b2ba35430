"""The Kafka consumer: a record source that is a member of a consumer group and reads committed records.

Reading committed records also makes Kafka withhold the offsets of a transaction that is still open, so that a new owner
of partitions does not start before the offsets that the former owner is about to commit.
"""

import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from kafka import ConsumerRebalanceListener, KafkaConsumer, OffsetAndMetadata, TopicPartition
from kafka import errors as kafka_errors

from services.kafka.connection import Kafka, KafkaUnavailable, kafka_arguments
from services.kafka.patches import apply_patches
from services.kafka.record_source import LostPartitions, OutputRecord, Record
from services.kafka.transactions import LOST_OWNERSHIP, RECONNECT_MS, TransactionalProducer
from services.server.logging import log_event

CATCH_UP_MS = 5
"""Longest wait for records that arrived while the last batch was folded, milliseconds."""

_logger = logging.getLogger(__name__)

T = TypeVar("T")


@dataclass(frozen=True)
class KafkaRecordSourceConfig:
    """Settings of a group member that reads one topic.

    Args:
        kafka: connection settings.
        group: the consumer group.
        topic: the topic to read.
        max_poll_records: most records per batch.
        session_timeout_ms: milliseconds without heartbeat until Kafka reassigns the partitions.
        transaction_timeout_ms: milliseconds until Kafka aborts a transaction that was not ended.
        request_timeout_ms: longest wait for the brokers, at the start and at commits, milliseconds.
    """

    kafka: Kafka
    group: str
    topic: str
    max_poll_records: int
    session_timeout_ms: int
    transaction_timeout_ms: int
    request_timeout_ms: int = 15_000


class PartitionObserver(Protocol):
    """Notified of rebalances and of the consumer's positions."""

    def on_revoked(self) -> None:
        """A rebalance begins: all partitions are revoked."""
        ...

    def on_assigned(self, partitions: Sequence[int]) -> None:
        """A rebalance ends with these partitions assigned."""
        ...

    def on_positions(self, bounds: Mapping[int, tuple[int, int]]) -> None:
        """After a poll: position and end of the assigned partitions."""
        ...


class _Assignment(ConsumerRebalanceListener):  # type: ignore[misc]
    """Records rebalances, and notifies the observer."""

    def __init__(self, observer: PartitionObserver) -> None:
        self._observer = observer
        self.changed = False
        self.assigned_since_s: float | None = None
        """Since when partitions are assigned, monotonic seconds; None: there are none."""

    def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        del revoked  # all of them: the next assignment names those that stay
        self.changed = True
        self.assigned_since_s = None
        self._observer.on_revoked()

    def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        partitions = sorted(partition.partition for partition in assigned)
        self.changed = True
        self.assigned_since_s = time.monotonic() if partitions else None
        self._observer.on_assigned(partitions)


class KafkaRecordSource:
    """A Log over kafka-python; connects at the first poll.

    Args:
        config: topic and consumer group.
        observer: notified of rebalances and positions.
        admit: called after every assignment to check that the topic may be folded; returns the first offset to fold
            per partition. `poll` and `rewind` pass on its errors (StoreUnavailable, TopicChanged).
    """

    def __init__(
        self, config: KafkaRecordSourceConfig, observer: PartitionObserver, admit: Callable[[], Sequence[int]] = list
    ) -> None:
        self._config, self._observer = config, observer
        self._admit = admit
        self._assignment = _Assignment(observer)
        self._member: KafkaConsumer | None = None
        self._transactions = TransactionalProducer(config.kafka, config.group, config.transaction_timeout_ms)
        self._committed: dict[TopicPartition, int] = {}
        self._next: dict[TopicPartition, int] = {}
        self._first_offsets: Sequence[int] = []

    def poll(self, wait_s: float) -> list[Record]:
        """The next batch."""
        consumer = self._consumer()
        polled = self._poll_batch(consumer, wait_s)
        if self._assignment.changed:
            # The client keeps its position in a partition that it gets back, even if another member owned it in
            # between: records that the other one committed would be read, and counted, again.
            self.rewind()
            return []
        # As of now, not of the commit: a member that is removed in between must commit with its old generation.
        self._membership = consumer.group_metadata()
        self._check_order({partition: records[0].offset for partition, records in polled.items()})
        self._next |= {partition: records[-1].offset + 1 for partition, records in polled.items()}
        batch = [
            Record(r.topic, r.partition, r.offset, r.key, r.value, list(r.headers), r.timestamp / 1000)
            for records in polled.values()
            for r in records
            if r.offset >= self._first_offset(r.partition)
        ]
        if not batch:
            self._check_heartbeat(consumer)
            _translate(self._commit_markers)
        self._observer.on_positions(_translate(lambda: _bounds(consumer)))
        return batch

    def _poll_batch(self, consumer: KafkaConsumer, wait_s: float) -> dict[TopicPartition, list[Any]]:
        """Prefetched records, which are as old as the last batch, and those that arrived since."""
        fetched: dict[TopicPartition, list[Any]] = _translate(lambda: consumer.poll(timeout_ms=int(wait_s * 1000)))
        room = self._config.max_poll_records - sum(map(len, fetched.values()))
        if not fetched or room <= 0 or self._assignment.changed:
            return fetched
        newer = _translate(lambda: consumer.poll(timeout_ms=CATCH_UP_MS, max_records=room))
        return {partition: fetched.get(partition, []) + newer.get(partition, []) for partition in fetched | newer}

    def commit(self, outputs: Sequence[OutputRecord], records: Sequence[Record]) -> None:
        """Commit outputs and offsets in one transaction; offsets alone without one."""
        consumer = self._consumer()
        after = {TopicPartition(record.topic, record.partition): record.offset + 1 for record in records}
        offsets = _offsets(after)
        if not outputs:
            _translate(lambda: consumer.commit(offsets, timeout_ms=self._config.request_timeout_ms))
        elif self._membership.generation_id < 0:
            raise LostPartitions("not a member of the group")
        else:
            lowest = min(partition.partition for partition in consumer.assignment() | set(after))
            self._transactions.commit(lowest, outputs, offsets, self._membership)
        self._committed |= after

    def keep_alive(self, wait_s: float) -> bool:
        """Poll with all partitions paused."""
        consumer = self._consumer()
        consumer.pause(*consumer.assignment())
        try:
            polled = _translate(lambda: consumer.poll(timeout_ms=int(wait_s * 1000)))
        finally:
            consumer.resume(*consumer.assignment())
        # Partitions assigned during the poll are not paused; their records are read again after a rewind.
        return not polled and not self._assignment.changed

    def rewind(self) -> None:
        """Seek to the committed offsets, after ending a transaction whose outcome is not known."""
        _translate(self._transactions.end_unknown)
        consumer = self._consumer()
        if self._assignment.changed:
            self._take_over(consumer)
        committed = _translate(lambda: self._committed_offsets(consumer))
        if self._assignment.changed and committed:
            _translate(lambda: self._report_expired(consumer, committed))
        for partition, offset in committed.items():
            _seek(consumer, partition, offset)
        self._assignment.changed = False
        self._next = {}

    def close(self) -> None:
        """Leave the group and close the producer."""
        self._transactions.close()
        if self._member is not None:
            try:
                self._member.close(autocommit=False, timeout_ms=self._config.session_timeout_ms)
            except kafka_errors.KafkaError as error:
                log_event(_logger, "group_not_left", level=logging.WARNING, error=type(error).__name__)

    def _consumer(self) -> KafkaConsumer:
        if self._member is None:
            self._member = _translate(self._join)
        return self._member

    def _join(self) -> KafkaConsumer:
        config = self._config
        apply_patches()
        consumer = KafkaConsumer(
            **kafka_arguments(config.kafka),
            bootstrap_timeout_ms=config.request_timeout_ms,
            group_id=config.group,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            isolation_level="read_committed",
            max_poll_records=config.max_poll_records,
            session_timeout_ms=config.session_timeout_ms,
            heartbeat_interval_ms=config.session_timeout_ms // 3,
            reconnect_backoff_max_ms=RECONNECT_MS,
            fetch_max_wait_ms=50,
        )
        consumer.subscribe([config.topic], listener=self._assignment)
        return consumer

    def _take_over(self, consumer: KafkaConsumer) -> None:
        """After an assignment, end the open transaction of a crashed owner: Kafka withholds its offsets until then."""
        assigned = [partition.partition for partition in consumer.assignment()]
        if assigned:
            self._first_offsets = _translate(self._admit)
            _translate(lambda: self._transactions.fence_predecessor(min(assigned)))

    def _committed_offsets(self, consumer: KafkaConsumer) -> dict[TopicPartition, int | None]:
        """The committed offset of each assigned partition; None where there is none."""
        wait_ms = self._config.request_timeout_ms
        return {partition: consumer.committed(partition, timeout_ms=wait_ms) for partition in consumer.assignment()}

    def _first_offset(self, partition: int) -> int:
        return self._first_offsets[partition] if partition < len(self._first_offsets) else 0

    def _check_order(self, first: dict[TopicPartition, int]) -> None:
        """Raise LostPartitions if offsets decrease: the topic was re-created and must be admitted anew."""
        if any(offset < self._next.get(partition, 0) for partition, offset in first.items()):
            self._assignment.changed = True
            raise LostPartitions("offsets decreased")

    def _report_expired(self, consumer: KafkaConsumer, committed: dict[TopicPartition, int | None]) -> None:
        """Log records that expired in Kafka before they were folded: they cannot be recovered from it."""
        begins = consumer.beginning_offsets(list(committed), timeout_ms=self._config.request_timeout_ms)
        for partition, begin in begins.items():
            offset = committed[partition]
            if offset is not None and offset < begin:
                lost = {"partition": partition.partition, "records": begin - offset}
                log_event(_logger, "records_expired", level=logging.ERROR, group=self._config.group, **lost)

    def _check_heartbeat(self, consumer: KafkaConsumer) -> None:
        """Raise KafkaUnavailable after a session without heartbeat: without brokers, polls just return nothing."""
        since_s = self._assignment.assigned_since_s
        if since_s is None:
            return
        metrics = consumer.metrics()["consumer-coordinator-metrics"]
        silent_s = min(metrics["last-heartbeat-seconds-ago"], time.monotonic() - since_s)
        if silent_s > self._config.session_timeout_ms / 1000:
            raise KafkaUnavailable(f"no heartbeat for {silent_s:.0f} s")

    def _commit_markers(self) -> None:
        """Commit positions that moved past transaction markers: otherwise a group that has read all seems to lag."""
        consumer = self._consumer()
        wait_ms = self._config.request_timeout_ms
        at = {partition: consumer.position(partition, timeout_ms=wait_ms) for partition in consumer.assignment()}
        passed = {p: offset for p, offset in at.items() if offset is not None and offset > self._committed.get(p, 0)}
        if passed:
            consumer.commit(_offsets(passed), timeout_ms=wait_ms)
            self._committed |= passed


def _seek(consumer: KafkaConsumer, partition: TopicPartition, committed: int | None) -> None:
    if committed is None:
        consumer.seek_to_beginning(partition)
    else:
        consumer.seek(partition, committed)


def _bounds(consumer: KafkaConsumer) -> dict[int, tuple[int, int]]:
    """Position and end of the assigned partitions, where both are known; sends no request."""
    bounds = {}
    for partition in consumer.assignment():
        end = consumer.highwater(partition)
        if end is not None:
            bounds[partition.partition] = (consumer.position(partition, timeout_ms=0), end)
    return {partition: (position, end) for partition, (position, end) in bounds.items() if position is not None}


def _offsets(positions: dict[TopicPartition, int]) -> dict[TopicPartition, OffsetAndMetadata]:
    return {partition: OffsetAndMetadata(offset, "", -1) for partition, offset in positions.items()}


def _translate(call: Callable[[], T]) -> T:
    """The call's result; errors of Kafka's client are raised as LostPartitions or KafkaUnavailable."""
    try:
        return call()
    except LOST_OWNERSHIP as error:
        raise LostPartitions(type(error).__name__) from error
    except kafka_errors.KafkaError as error:
        raise KafkaUnavailable(f"{type(error).__name__}: {error}") from error
