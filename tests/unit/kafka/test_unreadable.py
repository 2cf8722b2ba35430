"""Batches that cannot be read: found among the fetched bytes, and judged."""

import struct
from types import SimpleNamespace
from typing import Any

import pytest
from kafka import TopicPartition
from kafka.consumer.fetcher import Fetcher
from kafka.errors import TopicAuthorizationFailedError, UnsupportedCodecError

from services.kafka import connection
from services.kafka.patches import apply_patches
from services.kafka.unreadable import find_unreadable, guard_batches, take_unreadable
from tests.unit.kafka.batches import plain, records_of, repacked

AT = TopicPartition("t", 3)
BAD = ValueError("bad")
GOOD = plain([b"a", b"b"])


@pytest.mark.parametrize(
    ("batch", "codec", "lasting"),
    [
        (repacked(plain([b"c", b"d"], first=2), b"rubbish", 1), "gzip", True),
        (repacked(plain([b"c", b"d"], first=2), b"rubbish", 0), "none", True),
        (repacked(plain([b"c", b"d"], first=2), b"rubbish", 6), "number 6", False),
        (plain([b"c", b"d"], first=2)[:-1] + b"\xff", "none", False),
    ],
    ids=["content", "records", "unknown codec", "checksum"],
)
def test_a_batch_is_found_with_its_codec(batch: bytes, codec: str, lasting: bool) -> None:
    """What its producer wrote so is lasting; damage, and a codec of a later version, are not."""
    found = find_unreadable(AT, 2, GOOD + batch + plain([b"e"], first=4), BAD)
    assert ("t", 3, 2, 4) == (found.topic, found.partition, found.offset, found.next_offset)
    assert (codec, lasting, batch) == (found.codec, found.lasting, found.raw)
    assert f"unreadable batch: t, partition 3, offsets 2 to 3, codec {codec}: ValueError: bad" == found.describe()
    assert (3, 1_700_000_000.0) == (found.as_record().offset, found.as_record().time_s)


def test_a_codec_that_is_not_installed_is_not_lasting(monkeypatch: pytest.MonkeyPatch) -> None:
    """With its package the batch can be read."""
    monkeypatch.setattr("kafka.codec.zstd", None)
    assert ["zstd"] == connection.missing_codecs()
    assert not find_unreadable(AT, 0, repacked(GOOD, b"rubbish", 4), BAD).lasting


@pytest.mark.parametrize("raw", [b"", b"\x00" * 80, GOOD[:70], GOOD[:8] + struct.pack(">i", -5) + GOOD[12:]])
def test_a_damaged_header_leaves_the_end_open(raw: bytes) -> None:
    """Only a person can say from where to continue."""
    found = find_unreadable(AT, 5, raw, BAD)
    assert (5, None, "unknown", False, raw) == (found.offset, found.next_offset, found.codec, found.lasting, found.raw)
    assert "offsets 5 to ?" in found.describe()


def test_an_offset_within_a_batch_is_the_first_that_cannot_be_read() -> None:
    """Records before it were read."""
    assert 1 == find_unreadable(AT, 1, GOOD, BAD).offset
    assert 4 == find_unreadable(AT, 2, GOOD + plain([b"c"], first=4), BAD).offset


class FakeSubscriptions:
    """One assigned partition."""

    def __init__(self) -> None:
        self.paused: list[TopicPartition] = []

    def is_assigned(self, partition: TopicPartition) -> bool:
        return partition == AT

    def pause(self, partition: TopicPartition) -> None:
        self.paused.append(partition)


def read_all(raw: bytes) -> tuple[list[bytes], Any]:
    """The values that a guarded fetcher reads, and a consumer with it."""
    apply_patches()
    fetcher = SimpleNamespace(_subscriptions=FakeSubscriptions())
    completed = SimpleNamespace(
        topic_partition=AT, fetched_offset=0, partition_data=SimpleNamespace(records=raw, error_code=0)
    )

    def parse(_: Any, done: Any) -> Any:
        from kafka.record import MemoryRecords

        return Fetcher.PartitionRecords(0, done.topic_partition, MemoryRecords(done.partition_data.records))

    parsed, values = guard_batches(parse)(fetcher, completed), []
    while parsed:
        values += [record.value for record in parsed.take(1)]
    return values, SimpleNamespace(_fetcher=fetcher)


@pytest.mark.parametrize("codec", [0, 1, 2, 3, 4, 7])
def test_records_before_a_batch_that_cannot_be_read_are_read(codec: int) -> None:
    """Then the partition is paused; an exhausted fetch does not go on without end."""
    values, consumer = read_all(GOOD + repacked(plain([b"c"], first=2), b"rubbish", codec) + plain([b"d"], first=3))
    assert [b"a", b"b"] == values
    (batch,) = take_unreadable(consumer)
    assert (2, 3) == (batch.offset, batch.next_offset)
    assert [AT] == consumer._fetcher._subscriptions.paused
    assert [] == take_unreadable(consumer)


def test_a_record_of_any_attributes_is_read() -> None:
    """One byte; taken for a number of any length, it would shift the fields behind it."""
    records = bytearray(records_of(GOOD))
    records[1] = 0xFF
    values, consumer = read_all(repacked(GOOD, bytes(records)))
    assert [b"a", b"b"] == values
    assert [] == take_unreadable(consumer)


def test_an_offset_outside_of_its_batch_is_not_believed() -> None:
    """It would skip the records of others."""
    records = bytearray(records_of(GOOD))
    records[3] = 0x7E
    values, consumer = read_all(repacked(GOOD, bytes(records)))
    assert [] == values
    (batch,) = take_unreadable(consumer)
    assert batch.lasting
    assert "not within its batch" in batch.reason


def test_a_missing_right_is_no_damage() -> None:
    """It concerns the whole topic."""

    def parse(*_: object) -> None:
        raise TopicAuthorizationFailedError("t")

    completed = SimpleNamespace(partition_data=SimpleNamespace(records=None, error_code=29))
    with pytest.raises(TopicAuthorizationFailedError):
        guard_batches(parse)(SimpleNamespace(), completed)


def test_an_error_before_any_record_pauses_too() -> None:
    """A broker that reports a damaged log, or bytes without a whole batch."""

    def parse(*_: object) -> None:
        raise UnsupportedCodecError("what")

    fetcher = SimpleNamespace(_subscriptions=FakeSubscriptions())
    data = SimpleNamespace(records=None, error_code=2)
    guard_batches(parse)(fetcher, SimpleNamespace(topic_partition=AT, fetched_offset=9, partition_data=data))
    (batch,) = take_unreadable(SimpleNamespace(_fetcher=fetcher))
    assert (9, None) == (batch.offset, batch.next_offset)
