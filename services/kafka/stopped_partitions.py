"""The partitions of a consumer that stand before a batch which cannot be read, while the others are read on.

A batch that its producer wrote as it is will never be readable: it is passed on whole, to be set aside, and its
partition continues behind it. Any other (damaged on its way or on a disk, or of a codec that is not installed) stops
its partition: it is tried again every RETRY_S seconds, since another replica or a new leader may have it whole.
"""

import logging
import time
from collections.abc import Callable, Collection, Sequence

from kafka import KafkaConsumer, TopicPartition

from services.kafka.record_source import Record
from services.kafka.unreadable import UnreadableBatch, take_unreadable
from services.server.logging import log_event

RETRY_S = 30.0
"""Seconds between two tries of a batch that cannot be read."""

_logger = logging.getLogger(__name__)


class StoppedPartitions:
    """Keeps book of them; the partitions are paused in the consumer.

    Args:
        on_change: called with the reasons of all stopped partitions, in their order, when one stops or continues.
        clock: monotonic seconds.
    """

    def __init__(self, on_change: Callable[[Sequence[str]], None], clock: Callable[[], float] = time.monotonic) -> None:
        self._on_change, self._clock = on_change, clock
        self._lasting: dict[TopicPartition, UnreadableBatch] = {}
        self._stopped: dict[TopicPartition, tuple[UnreadableBatch, float]] = {}
        self._reported: list[str] = []

    def partitions(self) -> Collection[TopicPartition]:
        """Those that must stay paused."""
        return self._lasting.keys() | self._stopped.keys()

    def collect(self, consumer: KafkaConsumer) -> None:
        """After a poll: note the partitions that stopped, and that others have passed their batch."""
        for batch in take_unreadable(consumer):
            partition = TopicPartition(batch.topic, batch.partition)
            if batch.lasting and batch.next_offset is not None:
                self._lasting[partition] = batch
                continue
            if batch.describe() not in self._reported:
                log_event(_logger, "partition_stopped", level=logging.ERROR, reason=batch.describe())
            self._stopped[partition] = (batch, self._clock() + RETRY_S)
        self._stopped = {p: kept for p, kept in self._stopped.items() if not self._has_passed(consumer, p, kept[0])}
        self._report()

    def take_lasting(self, consumer: KafkaConsumer) -> list[Record]:
        """The batches to set aside, each as a record at its last offset; their partitions continue behind them."""
        taken, self._lasting = self._lasting, {}
        records = []
        for partition, batch in taken.items():
            if batch.next_offset is not None and partition in consumer.assignment():
                consumer.seek(partition, batch.next_offset)
                consumer.resume(partition)
                records.append(batch.as_record())
        return records

    def retry(self, consumer: KafkaConsumer) -> None:
        """Before a poll: have batches read that have waited for RETRY_S seconds."""
        now_s = self._clock()
        due = [p for p, (_, retry_s) in self._stopped.items() if retry_s <= now_s and p in consumer.assignment()]
        consumer.resume(*due)

    def forget(self, consumer: KafkaConsumer) -> None:
        """After a rewind: whatever is still unreadable will be found again."""
        take_unreadable(consumer)
        consumer.resume(*consumer.assignment())
        self._lasting, self._stopped = {}, {}

    def _has_passed(self, consumer: KafkaConsumer, partition: TopicPartition, batch: UnreadableBatch) -> bool:
        if partition not in consumer.assignment():
            return True
        position = consumer.position(partition, timeout_ms=0)
        return position is not None and position > batch.offset

    def _report(self) -> None:
        reasons = [self._stopped[partition][0].describe() for partition in sorted(self._stopped)]
        if reasons != self._reported:
            self._reported = reasons
            self._on_change(reasons)
