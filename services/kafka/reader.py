"""What the commands that look at topics and groups share: a reader outside any group, and errors said in one way."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any, TypeVar

from kafka import KafkaConsumer, TopicPartition
from kafka import errors as kafka_errors

from services.kafka.connection import Kafka, brokers_of, kafka_arguments
from services.kafka.patches import apply_patches
from services.kafka.record_source import KafkaUnavailable
from services.kafka.topics import identify

WAIT_S = 10.0
"""Longest wait for the brokers, seconds."""

PAUSE_S = 0.1
"""Between two tries to be answered."""

T = TypeVar("T")


@contextmanager
def reachable(kafka: Kafka) -> Iterator[None]:
    """Turns what Kafka's client raises into KafkaUnavailable."""
    try:
        yield
    except kafka_errors.KafkaError as error:
        reason = f"{type(error).__name__}: {error}"
        brokers = brokers_of(kafka)
        raise KafkaUnavailable(f"Kafka at {brokers} cannot be reached or does not answer: {reason}") from error


def retry_until_ready(ask: Callable[[], T], wait_s: float = WAIT_S) -> T:
    """The answer to what Kafka cannot answer at once: while a coordinator moves or loads, it is asked again."""
    deadline = time.monotonic() + wait_s
    while True:
        try:
            return ask()
        except (kafka_errors.NotCoordinatorError, kafka_errors.CoordinatorLoadInProgressError):
            if time.monotonic() > deadline:
                raise
            time.sleep(PAUSE_S)


def partition_counts(kafka: Kafka) -> Callable[[str], int]:
    """How many partitions a topic has, asked of the brokers once per topic. The calls raise KafkaUnavailable."""

    @cache
    def count(topic: str) -> int:
        with reachable(kafka):
            return identify(kafka, topic, WAIT_S).partitions

    return count


@contextmanager
def reader(kafka: Kafka, max_poll_records: int = 500) -> Iterator[KafkaConsumer]:
    """A consumer of committed records that is in no group."""
    apply_patches()
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
        yield consumer
    finally:
        consumer.close()


def offsets_at(consumer: KafkaConsumer, partitions: Sequence[TopicPartition], time_s: float) -> list[int]:
    """The offset of each partition's first record that Kafka got at `time_s` (seconds since 1970) or later.

    The end where there is none; 0: the beginning.
    """
    if time_s <= 0:
        begins = consumer.beginning_offsets(partitions)
        return [begins[partition] for partition in partitions]
    found = consumer.offsets_for_times(dict.fromkeys(partitions, int(time_s * 1000)))
    ends = consumer.end_offsets(partitions)
    return [found[p].offset if found.get(p) else ends[p] for p in partitions]


def first_records(consumer: KafkaConsumer, offsets: Mapping[TopicPartition, int]) -> dict[TopicPartition, Any]:
    """The first record at or after an offset of each partition; partitions that hold none are left out.

    Raises KafkaUnavailable when the brokers keep it back for longer than WAIT_S.
    """
    ends = consumer.end_offsets(list(offsets)) if offsets else {}
    left = {partition for partition, offset in offsets.items() if offset < ends[partition]}
    found: dict[TopicPartition, Any] = {}
    consumer.assign(list(left))
    for partition in left:
        consumer.seek(partition, offsets[partition])
    deadline = time.monotonic() + WAIT_S
    while left:
        for partition, records in consumer.poll(timeout_ms=200).items():
            found.setdefault(partition, records[0])
        done = {p for p in left if p in found or consumer.position(p) >= ends[p]}
        consumer.pause(*done)
        left -= done
        if left and time.monotonic() > deadline:
            raise KafkaUnavailable(f"no answer within {WAIT_S:g} s")
    return found
