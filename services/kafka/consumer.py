"""The Kafka consumer: a record source that is a member of a consumer group and reads committed records.

Reading committed records also makes Kafka withhold the offsets of a transaction that is still open, so that a new owner
of partitions does not start before the offsets that the former owner is about to commit.
"""

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from kafka import KafkaConsumer, TopicPartition
from kafka import errors as kafka_errors

from services.kafka.assignment import (
    PartitionAssignment,
    PartitionObserver,
    bounds,
    check_ends,
    seek,
    why_unassigned,
    with_metadata,
)
from services.kafka.connection import Kafka, KafkaUnavailable, kafka_arguments
from services.kafka.patches import apply_patches
from services.kafka.record_source import Admit, LostPartitions, OutputRecord, PassOver, Record
from services.kafka.stopped_partitions import StoppedPartitions
from services.kafka.topics import describe_topic
from services.kafka.transactions import LOST_OWNERSHIP, RECONNECT_MS, TransactionalProducer
from services.kafka.unreadable import take_out_of_range
from services.server.logging import log_event

CATCH_UP_MS = 5
"""Longest wait for records that arrived while the last batch was folded, milliseconds."""

UNASSIGNED_S = 5.0
"""Seconds between two questions why no partition is assigned."""

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


class KafkaRecordSource:
    """A Log over kafka-python; connects at the first poll.

    Args:
        config: topic and consumer group.
        observer: notified of rebalances and positions.
        admit, pass_over: the latter is called before offsets are committed that follow no folded record; `poll` and
            `rewind` pass on their errors (StoreUnavailable, TopicChanged).
    """

    def __init__(
        self,
        config: KafkaRecordSourceConfig,
        observer: PartitionObserver,
        admit: Admit = lambda _: (),
        pass_over: PassOver = lambda _: None,
    ) -> None:
        self._config, self._observer = config, observer
        self._admit, self._pass_over = admit, pass_over
        self._assignment = PartitionAssignment(observer)
        self._member: KafkaConsumer | None = None
        self._transactions = TransactionalProducer(config.kafka, config.group, config.transaction_timeout_ms)
        self._committed, self._next = dict[TopicPartition, int](), dict[TopicPartition, int]()
        self._first_offsets: Sequence[int] = []
        self._stopped = StoppedPartitions(observer.on_stopped)
        self._expired: dict[TopicPartition, int] = {}
        self._out_of_range = False
        self._asked_s = 0.0

    def poll(self, wait_s: float) -> list[Record]:
        """The next batch."""
        consumer = self._consumer()
        if unreadable := self._stopped.take_lasting(consumer):
            return [record for record in unreadable if record.offset >= self._first_offset(record.partition)]
        polled = self._poll_batch(consumer, wait_s)
        if take_out_of_range(consumer):
            self._assignment.changed = self._out_of_range = True
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
            self._check_assignment()
            _translate(self._commit_markers)
        self._observer.on_positions(_translate(lambda: bounds(consumer)))
        return batch

    def _poll_batch(self, consumer: KafkaConsumer, wait_s: float) -> dict[TopicPartition, list[Any]]:
        """Prefetched records, which are as old as the last batch, and those that arrived since."""
        self._stopped.retry(consumer)
        fetched: dict[TopicPartition, list[Any]] = _translate(lambda: consumer.poll(timeout_ms=int(wait_s * 1000)))
        room = self._config.max_poll_records - sum(map(len, fetched.values()))
        newer: dict[TopicPartition, list[Any]] = {}
        if fetched and room > 0 and not self._assignment.changed:
            newer = _translate(lambda: consumer.poll(timeout_ms=CATCH_UP_MS, max_records=room))
        if not self._assignment.changed:
            _translate(lambda: self._stopped.collect(consumer))
        return {partition: fetched.get(partition, []) + newer.get(partition, []) for partition in fetched | newer}

    def commit(self, outputs: Sequence[OutputRecord], records: Sequence[Record]) -> None:
        """Commit outputs and offsets in one transaction; offsets alone without one."""
        consumer = self._consumer()
        after = {TopicPartition(record.topic, record.partition): record.offset + 1 for record in records}
        offsets = with_metadata(after)
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
            consumer.resume(*(p for p in consumer.assignment() if p not in self._stopped.partitions()))
        # Partitions assigned during the poll are not paused; their records are read again after a rewind.
        return not polled and not self._assignment.changed

    def rewind(self) -> None:
        """Seek to the committed offsets, after ending a transaction whose outcome is not known."""
        _translate(self._transactions.end_unknown)
        consumer = self._consumer()
        if self._assignment.changed:
            self._take_over(consumer)
        committed = _translate(lambda: self._committed_offsets(consumer))
        if committed:
            known = {partition.partition: offset or 0 for partition, offset in committed.items()}
            self._first_offsets = _translate(lambda: self._admit(known))
            committed = _translate(lambda: self._skip_expired(consumer, committed))
        for partition, offset in committed.items():
            seek(consumer, partition, offset)
        self._stopped.forget(consumer)
        self._assignment.changed = False
        self._next = {}

    def close(self) -> None:
        """Leave the group and close the producer."""
        self._transactions.close()
        self._leave()

    def _leave(self) -> None:
        member, self._member = self._member, None
        if member is not None:
            try:
                member.close(autocommit=False, timeout_ms=self._config.session_timeout_ms)
            except kafka_errors.KafkaError as error:
                log_event(_logger, "group_not_left", level=logging.WARNING, error=type(error).__name__)

    def _consumer(self) -> KafkaConsumer:
        if self._member is None:
            self._member = _translate(self._join)
        return self._member

    def _join(self) -> KafkaConsumer:
        config = self._config
        apply_patches()
        # A member that does not know the topic's partitions is assigned none, or as the leader assigns none. Not asked
        # of the client that joins: its partitions_for_topic may wait without limit on a busy machine.
        describe_topic(config.kafka, config.topic, config.request_timeout_ms / 1000)
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
        if assigned := [partition.partition for partition in consumer.assignment()]:
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

    def _skip_expired(
        self, consumer: KafkaConsumer, committed: dict[TopicPartition, int | None]
    ) -> dict[TopicPartition, int | None]:
        """The offsets from which records are still there; reports those that expired before they were folded."""
        wait_ms = self._config.request_timeout_ms
        begins, kept = consumer.beginning_offsets(list(committed), timeout_ms=wait_ms), dict(committed)
        if self._out_of_range:
            check_ends(committed, consumer.end_offsets(list(committed), timeout_ms=wait_ms))
            self._out_of_range = False
        for partition, begin in begins.items():
            offset = committed[partition]
            if offset is not None and offset < begin:
                kept[partition] = begin
                # Once: until the next commit, every rewind finds the same.
                if self._expired.get(partition) != begin:
                    self._expired[partition] = begin
                    self._observer.on_expired(partition.partition, begin - offset)
        return kept

    def _check_heartbeat(self, consumer: KafkaConsumer) -> None:
        """Raise KafkaUnavailable after a session without heartbeat: without brokers, polls just return nothing."""
        since_s = self._assignment.assigned_since_s
        if since_s is None:
            return
        metrics = consumer.metrics()["consumer-coordinator-metrics"]
        silent_s = min(metrics["last-heartbeat-seconds-ago"], time.monotonic() - since_s)
        if silent_s > self._config.session_timeout_ms / 1000:
            raise KafkaUnavailable(f"no heartbeat for {silent_s:.0f} s")

    def _check_assignment(self) -> None:
        """Report why no partition is assigned, and join again if some should be."""
        now_s, since_s = time.monotonic(), self._assignment.unassigned_since_s
        if since_s is None or now_s < max(since_s, self._asked_s) + UNASSIGNED_S:
            return
        self._asked_s, config = now_s, self._config
        reason = why_unassigned(config.kafka, config.group, config.topic)
        self._observer.on_unassigned(reason)
        if reason:
            self._leave()

    def _commit_markers(self) -> None:
        """Commit positions that moved past transaction markers: otherwise a group that has read all seems to lag."""
        consumer = self._consumer()
        wait_ms = self._config.request_timeout_ms
        at = {partition: consumer.position(partition, timeout_ms=wait_ms) for partition in consumer.assignment()}
        passed = {p: offset for p, offset in at.items() if offset is not None and offset > self._committed.get(p, 0)}
        if passed:
            self._pass_over({partition.partition: offset for partition, offset in passed.items()})
            consumer.commit(with_metadata(passed), timeout_ms=wait_ms)
            self._committed |= passed


def _translate(call: Callable[[], T]) -> T:
    """The call's result; errors of Kafka's client are raised as LostPartitions or KafkaUnavailable."""
    try:
        return call()
    except LOST_OWNERSHIP as error:
        raise LostPartitions(type(error).__name__) from error
    except kafka_errors.KafkaError as error:
        raise KafkaUnavailable(f"{type(error).__name__}: {error}") from error
