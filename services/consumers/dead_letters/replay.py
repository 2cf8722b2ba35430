"""Replaying dead letters: the record goes back to its topic, as it was or repaired, together with a replay marker.

Records and their markers are one Kafka transaction, and a replay ends the transactions of earlier ones before it reads
the markers. So no dead letter is replayed twice by accident, not even by two commands at once. All or none are sent.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from crossrec.events.v1.events_pb2 import Entry
from services.consumers import behavior, catalogue
from services.consumers.activity import delta_times
from services.consumers.activity_deltas import parse_deltas
from services.consumers.dead_letters.parse import ParsedDeadLetter, replay_marker
from services.consumers.dead_letters.topic import (
    PARTITION,
    dead_letter_topic,
    read_dead_letter,
    read_replayed_numbers,
)
from services.consumers.decoding import Decoder, TimeLimits
from services.errors import CrossRecError
from services.events.codec import CONTENT_TYPE, JSON, BadRecord, encode
from services.events.routing import BEHAVIOR, ITEMS, KEY_SEPARATOR, SCENARIOS, route_entry, topic_name
from services.features.schema import build_schema
from services.kafka.exclusive_writer import ExclusiveWriter, open_exclusive_writer
from services.kafka.record_source import OutputRecord, Record
from services.kafka.topics import partition_of
from services.kafka.unreadable import UNREADABLE
from services.settings.load import Settings

ENTRIES: Mapping[str, frozenset[str]] = {
    BEHAVIOR: behavior.ENTRIES,
    ITEMS: catalogue.ITEM_ENTRIES,
    SCENARIOS: catalogue.SCENARIO_ENTRIES,
}
"""Topic suffix to the kinds of entry allowed there."""

ACTIVITY = "activity"


class ReplayRefused(CrossRecError):
    """A dead letter cannot be replayed; the text names it and the reason."""


@dataclass(frozen=True)
class Repair:
    """A replacement for the value that could not be folded.

    Args:
        form: `entry`, an Entry in protobuf JSON, or `value`, bytes in the format that the record's headers name.
        content: the file's content.
    """

    form: Literal["entry", "value"]
    content: bytes


@dataclass(frozen=True)
class PreparedReplay:
    """A record to send, and the key that decides its partition; None: the partition it came from."""

    record: OutputRecord
    partition_key: bytes | None


@dataclass(frozen=True)
class ReplayedRecord:
    """Where the record of the dead letter `number` is now."""

    number: int
    topic: str
    partition: int
    offset: int


def replay(
    settings: Settings, numbers: Sequence[int], repair: Repair | None = None, again: bool = False
) -> list[ReplayedRecord]:
    """Send dead letters back to their topics; a repair needs exactly one number.

    Raises DeadLetterNotFound, ReplayRefused (nothing is sent then), KafkaUnavailable.
    """
    numbers = sorted(set(numbers))
    writer_id = f"{settings.group_prefix}-dead-letter-replay"
    with open_exclusive_writer(settings.kafka, writer_id) as writer:
        # From here on no earlier replay can commit, so its markers are either readable or will never be.
        if not again:
            _refuse_replayed(settings, numbers)
        dead_letters = [read_dead_letter(settings, number) for number in numbers]
        prepared = [prepare_replay(each, settings, repair, time.time) for each in dead_letters]
        return _write(writer, dead_letter_topic(settings), dead_letters, prepared)


def prepare_replay(
    dead_letter: ParsedDeadLetter, settings: Settings, repair: Repair | None, clock: Callable[[], float]
) -> PreparedReplay:
    """The record to send for a dead letter. Raises ReplayRefused, naming field and reason."""
    number, topic = dead_letter.number, dead_letter.topic
    suffix = topic.removeprefix(f"{settings.kafka.topic_prefix}.")
    if suffix not in {*ENTRIES, ACTIVITY} or topic != topic_name(settings.kafka.topic_prefix, suffix):
        raise ReplayRefused(f"dead letter {number}: no consumer reads its topic {topic!r}")
    if dead_letter.reason.startswith(UNREADABLE):
        raise ReplayRefused(f"dead letter {number}: its value is a whole batch that cannot be read, not a record")
    if dead_letter.cut and repair is None:
        raise ReplayRefused(
            f"dead letter {number} is a part of its record ({dead_letter.cut}): give a repaired value with --edit or "
            f"--value; while Kafka retains it, the record is at {topic} partition {dead_letter.partition} "
            f"offset {dead_letter.offset}"
        )
    original = OutputRecord(topic, dead_letter.key, dead_letter.value, list(dead_letter.headers))
    try:
        if repair is None:
            return PreparedReplay(original, _partition_key(suffix, dead_letter.key))
        if suffix == ACTIVITY:
            return _repair_delta(original, repair, settings, clock)
        return _repair_entry(original, suffix, repair, settings, clock)
    except BadRecord as error:
        raise ReplayRefused(f"dead letter {number}: the repaired value is rejected: {error}") from error


def _partition_key(suffix: str, key: bytes | None) -> bytes | None:
    """The key that the gateway hashes for a record with this key."""
    if key is None or suffix != ITEMS:
        return key
    return key.split(KEY_SEPARATOR.encode(), 1)[0]


def _repair_delta(
    original: OutputRecord, repair: Repair, settings: Settings, clock: Callable[[], float]
) -> PreparedReplay:
    if repair.form == "entry":
        raise BadRecord("records of the activity topic are not entries; repair them with --value")
    parse_deltas(build_schema(settings.features), repair.content, delta_times(settings, clock), clock())
    return PreparedReplay(replace(original, value=repair.content), original.key)


def _repair_entry(
    original: OutputRecord, suffix: str, repair: Repair, settings: Settings, clock: Callable[[], float]
) -> PreparedReplay:
    others = [(name, value) for name, value in original.headers if name.lower() != CONTENT_TYPE]
    headers = original.headers if repair.form == "value" else [(CONTENT_TYPE, JSON.encode())]
    entry = _parse_entry(Record(original.topic, 0, 0, None, repair.content, list(headers)), suffix, settings, clock)
    way = route_entry(entry)
    if repair.form == "value":
        return PreparedReplay(replace(original, key=way.key, value=repair.content), way.partition_key)
    value, content_type = encode(entry)
    return PreparedReplay(OutputRecord(original.topic, way.key, value, [*content_type, *others]), way.partition_key)


def _parse_entry(record: Record, suffix: str, settings: Settings, clock: Callable[[], float]) -> Entry:
    """The entry in a record, validated as its consumer will; BadRecord names the field."""
    times = TimeLimits(clock, settings.gateway.future_tolerance_s, settings.max_age_s)
    decoder = Decoder(ENTRIES[suffix], settings.features, times)
    good, bad = decoder.split([record])
    if bad:
        raise BadRecord(bad[0].reason)
    return good[0][1]


def _refuse_replayed(settings: Settings, numbers: Sequence[int]) -> None:
    replayed = read_replayed_numbers(settings, min(numbers))
    done = [str(number) for number in numbers if number in replayed]
    if done:
        raise ReplayRefused(f"replayed before: {', '.join(done)}; nothing was sent, --again sends once more")


def _write(
    writer: ExclusiveWriter,
    topic: str,
    dead_letters: Sequence[ParsedDeadLetter],
    prepared: Sequence[PreparedReplay],
) -> list[ReplayedRecord]:
    """Write the records, and a marker for each to the dead-letter topic."""
    outputs = []
    for dead_letter, replay in zip(dead_letters, prepared, strict=True):
        record, key = replay.record, replay.partition_key
        partition = dead_letter.partition if key is None else partition_of(key, writer.partitions(record.topic))
        marker = replace(replay_marker(topic, dead_letter.number), partition=PARTITION)
        outputs += [replace(record, partition=partition), marker]
    written = writer.write(outputs)[::2]
    return [
        ReplayedRecord(dead_letter.number, at.topic, at.partition, at.offset)
        for dead_letter, at in zip(dead_letters, written, strict=True)
    ]
