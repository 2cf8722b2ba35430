"""The log on Apache Kafka: a member of a consumer group that reads committed records.

Reading committed records also makes Kafka hold back the offsets of a transaction that is still open, so that
whoever takes partitions over does not start before what their former owner is about to commit.
"""

import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from kafka import ConsumerRebalanceListener, KafkaConsumer, OffsetAndMetadata, TopicPartition
from kafka import errors as kafka_errors

from services.kafka.connection import Kafka, kafka_arguments
from services.kafka.patches import apply_patches
from services.kafka.record_source import KafkaUnavailable, LostPartitions, OutputRecord, Record
from services.kafka.transactions import LOST, RECONNECT_MS, TransactionalProducer
from services.server.logging import log_event

CATCH_UP_MS = 5
"""Longest wait for records that came while the last batch was folded, milliseconds."""

_logger = logging.getLogger(__name__)

T = TypeVar("T")


@dataclass(frozen=True)
class KafkaRecordSourceConfig:
    """How to read one topic as a group member.

    Args:
        kafka: how Kafka is reached.
        group: the consumer group.
        topic: what to read.
        max_poll_records: most records per batch.
        session_timeout_ms: without heartbeat until Kafka gives the partitions to others.
        transaction_timeout_ms: until Kafka aborts a transaction that nobody ends.
        request_timeout_ms: longest wait for the brokers, at the start and at commits.
    """

    kafka: Kafka
    group: str
    topic: str
    max_poll_records: int
    session_timeout_ms: int
    transaction_timeout_ms: int
    request_timeout_ms: int = 15_000


class PartitionObserver(Protocol):
    """Is notified of what happens to the partitions of a consumer."""

    def revoked(self) -> None:
        """A rebalance begins: the partitions are taken away."""
        ...

    def assigned(self, partitions: Sequence[int]) -> None:
        """A rebalance ends; these are the consumer's now."""
        ...

    def reached(self, bounds: Mapping[int, tuple[int, int]]) -> None:
        """After a poll: position and end of the assigned partitions."""
        ...


class _Assignment(ConsumerRebalanceListener):  # type: ignore[misc]
    """Remembers that partitions moved, and says so."""

    def __init__(self, observer: PartitionObserver) -> None:
        self._observer = observer
        self.moved = False
        self.held_since_s: float | None = None
        """Since when there are partitions, monotonic seconds; None: there are none."""

    def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        del revoked  # all of them: the next assignment names what is left
        self.moved = True
        self.held_since_s = None
        self._observer.revoked()

    def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        partitions = sorted(partition.partition for partition in assigned)
        self.moved = True
        self.held_since_s = time.monotonic() if partitions else None
        self._observer.assigned(partitions)


class KafkaRecordSource:
    """A Log over kafka-python; connects at the first poll.

    Args:
        config: what to read, and as whom.
        observer: notified of rebalances, and how far the topic goes.
        admit: asked whenever partitions were assigned whether the topic may be folded; returns the offset per
            partition below which records are not. May raise StoreUnavailable and TopicChanged, which `poll` and
            `rewind` pass on.
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
        self._from: Sequence[int] = []

    def poll(self, wait_s: float) -> list[Record]:
        """The next batch."""
        consumer = self._consumer()
        polled = self._polled(consumer, wait_s)
        if self._assignment.moved:
            # The client keeps its position in a partition that it has before and after, whoever had it in between:
            # what others have committed would be read, and counted, once more.
            self.rewind()
            return []
        # As of now, not of the commit: a member that is thrown out in between must be known by its old membership.
        self._membership = consumer.group_metadata()
        self._check_order({partition: records[0].offset for partition, records in polled.items()})
        self._next |= {partition: records[-1].offset + 1 for partition, records in polled.items()}
        batch = [
            Record(r.topic, r.partition, r.offset, r.key, r.value, list(r.headers), r.timestamp / 1000)
            for records in polled.values()
            for r in records
            if r.offset >= self._start_of(r.partition)
        ]
        if not batch:
            self._check_heartbeat(consumer)
            _reached(self._commit_markers)
        self._observer.reached(_reached(lambda: _bounds(consumer)))
        return batch

    def _polled(self, consumer: KafkaConsumer, wait_s: float) -> dict[TopicPartition, list[Any]]:
        """What was fetched, and what came since: the client fetches ahead, so the first is as old as the last batch."""
        fetched: dict[TopicPartition, list[Any]] = _reached(lambda: consumer.poll(timeout_ms=int(wait_s * 1000)))
        room = self._config.max_poll_records - sum(map(len, fetched.values()))
        if not fetched or room <= 0 or self._assignment.moved:
            return fetched
        newer = _reached(lambda: consumer.poll(timeout_ms=CATCH_UP_MS, max_records=room))
        return {partition: fetched.get(partition, []) + newer.get(partition, []) for partition in fetched | newer}

    def commit(self, outputs: Sequence[OutputRecord], records: Sequence[Record]) -> None:
        """Outputs and offsets in one transaction; offsets alone in a plain commit."""
        consumer = self._consumer()
        after = {TopicPartition(record.topic, record.partition): record.offset + 1 for record in records}
        offsets = _offsets(after)
        if not outputs:
            _reached(lambda: consumer.commit(offsets, timeout_ms=self._config.request_timeout_ms))
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
            polled = _reached(lambda: consumer.poll(timeout_ms=int(wait_s * 1000)))
        finally:
            consumer.resume(*consumer.assignment())
        # Partitions that arrive during the poll are not paused; what they gave is read again after a rewind.
        return not polled and not self._assignment.moved

    def rewind(self) -> None:
        """Seek to what is committed, after ending a transaction whose outcome is not known."""
        _reached(self._transactions.settle)
        consumer = self._consumer()
        if self._assignment.moved:
            self._take_over(consumer)
        committed = _reached(lambda: self._committed_offsets(consumer))
        if self._assignment.moved and committed:
            _reached(lambda: self._report_expired(consumer, committed))
        for partition, offset in committed.items():
            _seek(consumer, partition, offset)
        self._assignment.moved = False
        self._next = {}

    def close(self) -> None:
        """Leave the group and let go of the producer."""
        self._transactions.close()
        if self._member is not None:
            try:
                self._member.close(autocommit=False, timeout_ms=self._config.session_timeout_ms)
            except kafka_errors.KafkaError as error:
                log_event(_logger, "group_not_left", level=logging.WARNING, error=type(error).__name__)

    def _consumer(self) -> KafkaConsumer:
        if self._member is None:
            self._member = _reached(self._join)
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
        """After partitions moved, end what a crashed owner left open: Kafka holds its offsets back until then."""
        assigned = [partition.partition for partition in consumer.assignment()]
        if assigned:
            self._from = _reached(self._admit)
            _reached(lambda: self._transactions.take_over(min(assigned)))

    def _committed_offsets(self, consumer: KafkaConsumer) -> dict[TopicPartition, int | None]:
        """Of the assigned partitions; None where there is none."""
        wait_ms = self._config.request_timeout_ms
        return {partition: consumer.committed(partition, timeout_ms=wait_ms) for partition in consumer.assignment()}

    def _start_of(self, partition: int) -> int:
        return self._from[partition] if partition < len(self._from) else 0

    def _check_order(self, first: dict[TopicPartition, int]) -> None:
        """Offsets that go back are those of another topic under the same name: ask again whether it may be folded."""
        if any(offset < self._next.get(partition, 0) for partition, offset in first.items()):
            self._assignment.moved = True
            raise LostPartitions("offsets went back")

    def _report_expired(self, consumer: KafkaConsumer, committed: dict[TopicPartition, int | None]) -> None:
        """Say so when Kafka has dropped records before they were folded: nothing can bring them back."""
        begins = consumer.beginning_offsets(list(committed), timeout_ms=self._config.request_timeout_ms)
        for partition, begin in begins.items():
            offset = committed[partition]
            if offset is not None and offset < begin:
                lost = {"partition": partition.partition, "records": begin - offset}
                log_event(_logger, "records_expired", level=logging.ERROR, group=self._config.group, **lost)

    def _check_heartbeat(self, consumer: KafkaConsumer) -> None:
        """Raise KafkaUnavailable when no heartbeat went out for a session: polls of brokers that are away are empty."""
        since_s = self._assignment.held_since_s
        if since_s is None:
            return
        metrics = consumer.metrics()["consumer-coordinator-metrics"]
        silent_s = min(metrics["last-heartbeat-seconds-ago"], time.monotonic() - since_s)
        if silent_s > self._config.session_timeout_ms / 1000:
            raise KafkaUnavailable(f"no heartbeat for {silent_s:.0f} s")

    def _commit_markers(self) -> None:
        """Commit positions that moved past transaction markers: else a group that read all seems to lag."""
        consumer = self._consumer()
        wait_ms = self._config.request_timeout_ms
        at = {partition: consumer.position(partition, timeout_ms=wait_ms) for partition in consumer.assignment()}
        moved = {p: offset for p, offset in at.items() if offset is not None and offset > self._committed.get(p, 0)}
        if moved:
            consumer.commit(_offsets(moved), timeout_ms=wait_ms)
            self._committed |= moved


def _seek(consumer: KafkaConsumer, partition: TopicPartition, committed: int | None) -> None:
    if committed is None:
        consumer.seek_to_beginning(partition)
    else:
        consumer.seek(partition, committed)


def _bounds(consumer: KafkaConsumer) -> dict[int, tuple[int, int]]:
    """Position and end of the assigned partitions, where both are known; asks nobody."""
    bounds = {}
    for partition in consumer.assignment():
        end = consumer.highwater(partition)
        if end is not None:
            bounds[partition.partition] = (consumer.position(partition, timeout_ms=0), end)
    return {partition: (position, end) for partition, (position, end) in bounds.items() if position is not None}


def _offsets(positions: dict[TopicPartition, int]) -> dict[TopicPartition, OffsetAndMetadata]:
    return {partition: OffsetAndMetadata(offset, "", -1) for partition, offset in positions.items()}


def _reached(call: Callable[[], T]) -> T:
    try:
        return call()
    except LOST as error:
        raise LostPartitions(type(error).__name__) from error
    except kafka_errors.KafkaError as error:
        raise KafkaUnavailable(f"{type(error).__name__}: {error}") from error
