"""Partitions before a batch that cannot be read: which are passed, which stand, and when they are tried again."""

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from kafka import TopicPartition

from services.kafka.stopped_partitions import RETRY_S, StoppedPartitions
from services.kafka.unreadable import UnreadableBatch

ZERO, ONE = TopicPartition("t", 0), TopicPartition("t", 1)


def batch(partition: int, *, lasting: bool) -> UnreadableBatch:
    return UnreadableBatch("t", partition, 5, 8, "zstd", "bad", lasting, b"raw", 1.0)


class FakeConsumer:
    """Two assigned partitions at offset 5."""

    def __init__(self) -> None:
        self._fetcher = SimpleNamespace()
        self.positions = {ZERO: 5, ONE: 5}
        self.resumed: list[TopicPartition] = []

    def finds(self, *batches: UnreadableBatch) -> None:
        found = {TopicPartition(each.topic, each.partition): each for each in batches}
        self._fetcher._crossrec_unreadable = found

    def assignment(self) -> set[TopicPartition]:
        return set(self.positions)

    def position(self, partition: TopicPartition, timeout_ms: float) -> int | None:
        del timeout_ms
        return self.positions[partition]

    def seek(self, partition: TopicPartition, offset: int) -> None:
        self.positions[partition] = offset

    def resume(self, *partitions: TopicPartition) -> None:
        self.resumed += partitions


@pytest.fixture
def consumer() -> Any:
    return FakeConsumer()


@pytest.fixture
def reasons() -> list[Sequence[str]]:
    return []


@pytest.fixture
def clock() -> list[float]:
    return [100.0]


@pytest.fixture
def stopped(reasons: list[Sequence[str]], clock: list[float]) -> StoppedPartitions:
    return StoppedPartitions(reasons.append, lambda: clock[0])


def test_a_batch_that_its_producer_wrote_so_is_passed(
    consumer: Any, stopped: StoppedPartitions, reasons: list[Sequence[str]]
) -> None:
    """It is handed out whole, at its last offset; the partition goes on behind it."""
    consumer.finds(batch(1, lasting=True))
    stopped.collect(consumer)
    assert {ONE} == set(stopped.partitions())
    (record,) = stopped.take_lasting(consumer)
    assert (1, 7, b"raw") == (record.partition, record.offset, record.value)
    assert record.unreadable
    assert (8, [ONE], [], []) == (consumer.positions[ONE], consumer.resumed, list(stopped.partitions()), reasons)


def test_another_batch_stops_its_partition_and_is_tried_again(
    consumer: Any, stopped: StoppedPartitions, reasons: list[Sequence[str]], clock: list[float]
) -> None:
    """Its reason is reported once; the partition continues when a try succeeds."""
    for _ in range(2):
        consumer.finds(batch(0, lasting=False))
        stopped.collect(consumer)
    assert [[batch(0, lasting=False).describe()]] == reasons
    assert [] == stopped.take_lasting(consumer)
    stopped.retry(consumer)
    assert [] == consumer.resumed
    clock[0] += RETRY_S
    stopped.retry(consumer)
    assert [ZERO] == consumer.resumed
    consumer.positions[ZERO] = 9
    stopped.collect(consumer)
    assert ([], []) == (reasons[-1], list(stopped.partitions()))


def test_a_partition_that_went_to_another_member_is_its_concern(
    consumer: Any, stopped: StoppedPartitions, reasons: list[Sequence[str]]
) -> None:
    """Neither its reason nor its batch stays."""
    consumer.finds(batch(0, lasting=False), batch(1, lasting=True))
    stopped.collect(consumer)
    consumer.positions = {}
    assert [] == stopped.take_lasting(consumer)
    stopped.collect(consumer)
    assert [] == reasons[-1]


def test_after_a_rewind_all_is_found_again(consumer: Any, stopped: StoppedPartitions) -> None:
    """The partitions are read from the committed offsets."""
    consumer.finds(batch(0, lasting=False), batch(1, lasting=True))
    stopped.collect(consumer)
    stopped.forget(consumer)
    assert {ZERO, ONE} == set(consumer.resumed)
    assert not stopped.partitions()
    # A partition may have paused in the poll that brought the assignment, before anything was collected.
    consumer.resumed.clear()
    consumer.finds(batch(1, lasting=True))
    stopped.forget(consumer)
    assert ONE in consumer.resumed
    assert [] == stopped.take_lasting(consumer)
