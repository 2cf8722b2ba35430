"""Reading a topic outside any consumer group: its offsets, first records, and all records up to the end.

Committed records only. Commits nothing.
"""

import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

from kafka import KafkaConsumer, TopicPartition

from services.kafka.connection import WAIT_S, Kafka, KafkaUnavailable, kafka_arguments, translate_errors
from services.kafka.patches import apply_patches
from services.kafka.record_source import Record
from services.kafka.topics import partition_numbers
from services.kafka.unreadable import UnreadableBatch, take_unreadable

SILENCE_S = 30.0
"""Seconds without a record after which the brokers count as unavailable."""


class TopicReader:
    """Reads topics; partitions are given by number.

    Args:
        consumer: a consumer without a group that reads committed records.
        partitions_of: names the partitions of a topic; none if there is no such topic.
    """

    def __init__(self, consumer: KafkaConsumer, partitions_of: Callable[[str], list[int]]) -> None:
        self._consumer, self._partitions_of = consumer, partitions_of
        self._partitions: dict[str, list[int]] = {}
        self._unreadable: dict[int, UnreadableBatch] = {}

    def partitions(self, topic: str) -> list[int]:
        """The topic's partitions in order; none if there is no such topic."""
        if not self._partitions.get(topic):
            self._partitions[topic] = self._partitions_of(topic)
        return self._partitions[topic]

    def beginning_offsets(self, topic: str) -> dict[int, int]:
        """The first offset of each partition that Kafka still has."""
        return _by_number(self._consumer.beginning_offsets(self._all(topic)))

    def end_offsets(self, topic: str) -> dict[int, int]:
        """The offset after the last committed record of each partition."""
        return _by_number(self._consumer.end_offsets(self._all(topic)))

    def offsets_at(self, topic: str, time_s: float) -> dict[int, int]:
        """The offset of each partition's first record that Kafka got at `time_s` (seconds since 1970) or later.

        The end where there is none. 0: the beginning; infinity: the end.
        """
        if time_s <= 0:
            return self.beginning_offsets(topic)
        ends = self.end_offsets(topic)
        if math.isinf(time_s):
            return ends
        found = self._consumer.offsets_for_times(dict.fromkeys(self._all(topic), int(time_s * 1000)))
        return ends | {at.partition: first.offset for at, first in found.items() if first}

    def first_records(self, topic: str, offsets: Mapping[int, int]) -> dict[int, Record]:
        """The first record at or after an offset of each partition; partitions that hold none are left out.

        In place of a record that cannot be read, its batch, as an unreadable record.

        Raises KafkaUnavailable when the brokers return none for longer than WAIT_S.
        """
        consumer, ends = self._consumer, self.end_offsets(topic) if offsets else {}
        left = {TopicPartition(topic, number) for number, offset in offsets.items() if offset < ends[number]}
        found: dict[int, Record] = {}
        self._seek(topic, {partition.partition: offsets[partition.partition] for partition in left})
        deadline = time.monotonic() + WAIT_S
        while left:
            for partition, records in consumer.poll(timeout_ms=200).items():
                found.setdefault(partition.partition, as_record(records[0]))
            for batch in take_unreadable(consumer):
                found.setdefault(batch.partition, batch.as_record())
                self._unreadable[batch.partition] = batch
            done = {p for p in left if p.partition in found or consumer.position(p) >= ends[p.partition]}
            consumer.pause(*done)
            left -= done
            if left and time.monotonic() > deadline:
                raise KafkaUnavailable(f"no answer within {WAIT_S:g} s")
        return found

    def unreadable_at(self, topic: str, partition: int, offset: int) -> UnreadableBatch | None:
        """The batch at an offset of a partition, if it cannot be read. Raises as `first_records`."""
        self._unreadable.pop(partition, None)
        self.first_records(topic, {partition: offset})
        return self._unreadable.get(partition)

    def records(self, topic: str, starts: Mapping[int, int]) -> Iterator[Record]:
        """The records of these partitions from an offset each to what is the end now.

        Raises KafkaUnavailable after SILENCE_S seconds without a record, and at a batch that cannot be read.
        """
        consumer = self._consumer
        ends = {number: end for number, end in self.end_offsets(topic).items() if number in starts}
        self._seek(topic, starts)
        received_s = time.monotonic()
        while any(consumer.position(TopicPartition(topic, number)) < end for number, end in ends.items()):
            polled = consumer.poll(timeout_ms=500)
            for batch in take_unreadable(consumer):
                raise KafkaUnavailable(batch.describe())
            if polled:
                received_s = time.monotonic()
            elif time.monotonic() - received_s > SILENCE_S:
                raise KafkaUnavailable(f"no answer within {SILENCE_S:g} s")
            for partition, records in polled.items():
                yield from (as_record(record) for record in records if record.offset < ends[partition.partition])

    def _all(self, topic: str) -> list[TopicPartition]:
        return [TopicPartition(topic, number) for number in self.partitions(topic)]

    def _seek(self, topic: str, offsets: Mapping[int, int]) -> None:
        partitions = {TopicPartition(topic, number): offset for number, offset in offsets.items()}
        self._consumer.assign(list(partitions))
        for partition, offset in partitions.items():
            self._consumer.seek(partition, offset)


@contextmanager
def open_reader(kafka: Kafka, max_poll_records: int = 500) -> Iterator[TopicReader]:
    """A TopicReader. Errors of Kafka's client within the context are raised as KafkaUnavailable."""
    apply_patches()
    with translate_errors(kafka):
        consumer = KafkaConsumer(
            **kafka_arguments(kafka),
            bootstrap_timeout_ms=int(WAIT_S * 1000),
            isolation_level="read_committed",
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            max_poll_records=max_poll_records,
            fetch_max_wait_ms=50,
        )
        try:
            yield TopicReader(consumer, partial(partition_numbers, kafka))
        finally:
            consumer.close()


def as_record(record: Any) -> Record:
    """A record as kafka-python returns it, as a Record."""
    headers, time_s = list(record.headers), record.timestamp / 1000
    return Record(record.topic, record.partition, record.offset, record.key, record.value, headers, time_s)


def _by_number(offsets: Mapping[TopicPartition, int]) -> dict[int, int]:
    return dict(sorted((partition.partition, offset) for partition, offset in offsets.items()))
