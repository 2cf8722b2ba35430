"""Batches of records that cannot be read: where they stand, with which codec, why, and whether they ever could be.

kafka-python raises such an error out of a poll of all partitions, and then either fetches the batch again in a busy
loop or never returns. `guard_batches` (a patch, see patches.py) makes the partition pause before the batch instead, and
the other partitions go on; `take_unreadable` tells which ones paused.
"""

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from kafka import KafkaConsumer, TopicPartition
from kafka import errors as kafka_errors

from services.kafka.connection import missing_codecs
from services.kafka.record_source import Record

CODECS = ("none", "gzip", "snappy", "lz4", "zstd")
"""Kafka's codecs by their number."""

UNREADABLE = "unreadable batch"
"""Begins the description of every batch that cannot be read."""

_HEADER = struct.Struct(">qiibIhiqq")
"""Base offset, length, leader epoch, format, checksum, attributes, last offset's delta, first and largest time."""

_AFTER_LENGTH = 12
"""Bytes of a batch that its length does not count."""

_CHECKED_FROM = 21
"""The first byte that the checksum covers."""

_FOUND = "_crossrec_unreadable"
_OUT_OF_RANGE = "_crossrec_out_of_range"

Method = Callable[..., Any]


@dataclass(frozen=True)
class UnreadableBatch:
    """A batch that cannot be read, or the rest of one.

    Args:
        topic: its topic.
        partition: its partition.
        offset: the first offset that cannot be read.
        next_offset: the offset after the batch; None: its header is damaged.
        codec: with what it is compressed.
        reason: why it cannot be read; quotes no record.
        lasting: its checksum holds and its codec is known, so its producer wrote it as it is: no later try, no other
            replica and no other installation would read it.
        raw: the batch as the broker sent it.
        time_s: of its newest record, seconds since 1970; 0 if its header is damaged.
    """

    topic: str
    partition: int
    offset: int
    next_offset: int | None
    codec: str
    reason: str
    lasting: bool
    raw: bytes
    time_s: float

    def describe(self) -> str:
        """Position, codec and reason, for people; begins with UNREADABLE."""
        last = "?" if self.next_offset is None else self.next_offset - 1
        where = f"{self.topic}, partition {self.partition}, offsets {self.offset} to {last}"
        return f"{UNREADABLE}: {where}, codec {self.codec}: {self.reason}"

    def as_record(self) -> Record:
        """The batch as a record at its last offset, which is unreadable."""
        offset = self.offset if self.next_offset is None else self.next_offset - 1
        return Record(self.topic, self.partition, offset, None, self.raw, [], self.time_s, self.describe())


def guard_batches(parse: Method) -> Method:
    """A patch of `Fetcher._parse_fetched_data`: a partition pauses before a batch that cannot be read."""

    def parse_guarded(fetcher: Any, completed: Any) -> Any:
        raw = completed.partition_data.records
        if completed.partition_data.error_code == kafka_errors.OffsetOutOfRangeError.errno:
            vars(fetcher)[_OUT_OF_RANGE] = True
        try:
            parsed = parse(fetcher, completed)
        except kafka_errors.AuthorizationError:
            raise
        except Exception as error:
            _pause(fetcher, completed.topic_partition, completed.fetched_offset, raw, error)
            return None
        if parsed is not None:
            parsed.record_iterator = _until_unreadable(fetcher, parsed, raw, parsed.record_iterator)
        return parsed

    return parse_guarded


def take_unreadable(consumer: KafkaConsumer) -> list[UnreadableBatch]:
    """Batches before which partitions paused since the last call; `consumer.resume` tries to read them again."""
    found: dict[TopicPartition, UnreadableBatch] = vars(consumer._fetcher).pop(_FOUND, {})
    return [found[partition] for partition in sorted(found)]


def take_out_of_range(consumer: KafkaConsumer) -> bool:
    """Whether a position was out of range since the last call: its records expired, or the topic was re-created.

    kafka-python continues at the beginning without a word.
    """
    return bool(vars(consumer._fetcher).pop(_OUT_OF_RANGE, False))


def find_unreadable(partition: TopicPartition, offset: int, raw: bytes, error: Exception) -> UnreadableBatch:
    """The batch among the fetched bytes that holds `offset`, which could not be read because of `error`."""
    (topic, number), reason = partition, f"{type(error).__name__}: {error}"
    at = 0
    while at + _HEADER.size <= len(raw):
        base, length, _, version, checksum, attributes, last, _, newest_ms = _HEADER.unpack_from(raw, at)
        end = at + _AFTER_LENGTH + length
        if version != 2 or length < _HEADER.size - _AFTER_LENGTH or end > len(raw):
            break
        if base + last >= offset:
            batch = bytes(raw[at:end])
            codec = attributes & 7
            name = CODECS[codec] if codec < len(CODECS) else f"number {codec}"
            lasting = name in CODECS and name not in missing_codecs() and _checksum(batch) == checksum
            begin = max(base, offset)
            return UnreadableBatch(
                topic, number, begin, base + last + 1, name, reason, lasting, batch, newest_ms / 1000
            )
        at = end
    return UnreadableBatch(topic, number, offset, None, "unknown", reason, False, bytes(raw[at:]), 0.0)


def _until_unreadable(fetcher: Any, parsed: Any, raw: bytes, records: Iterator[Any]) -> Iterator[Any]:
    try:
        yield from records
    except Exception as error:
        _pause(fetcher, parsed.topic_partition, parsed.next_fetch_offset, raw, error)
        # Without it, kafka-python would ask the exhausted iterator for more without end.
        parsed.drain()


def _pause(fetcher: Any, partition: TopicPartition, offset: int, raw: bytes | None, error: Exception) -> None:
    if fetcher._subscriptions.is_assigned(partition):
        fetcher._subscriptions.pause(partition)
        vars(fetcher).setdefault(_FOUND, {})[partition] = find_unreadable(partition, offset, raw or b"", error)


def _checksum(batch: bytes) -> int:
    from kafka.record.util import calc_crc32c

    checksum: int = calc_crc32c(memoryview(batch)[_CHECKED_FROM:])
    return checksum
