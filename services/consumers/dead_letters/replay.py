"""Replaying dead letters: the record goes back to its topic, as it was or repaired, and a marker says so.

A record and its marker are one Kafka transaction; the next replay waits for it. So a letter is not sent twice by
accident, also by two people at once. Records that were sent before a refusal do not exist: all or none are sent.
"""

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, Literal

from kafka import KafkaProducer
from kafka.errors import KafkaError

from crossrec.events.v1.events_pb2 import Entry
from services.consumers import behavior, catalogue
from services.consumers.activity_deltas import parse_deltas
from services.consumers.dead_letters.parse import ParsedDeadLetter, marker
from services.consumers.dead_letters.topic import dead_letter_topic, read_dead_letter, read_replayed
from services.consumers.decoding import Decoder
from services.errors import CrossRecError
from services.events.codec import CONTENT_TYPE, JSON, BadRecord, encode
from services.events.routing import BEHAVIOR, ITEMS, KEY_SEPARATOR, SCENARIOS, route_entry, topic_name
from services.features.schema import build_schema
from services.kafka.connection import kafka_arguments
from services.kafka.partitioning import partition_of
from services.kafka.reader import WAIT_S, reachable
from services.kafka.record_source import OutputRecord, Record
from services.kafka.transactions import MAX_REQUEST_BYTES
from services.settings.load import Settings

ENTRIES: Mapping[str, frozenset[str]] = {
    BEHAVIOR: behavior.ENTRIES,
    ITEMS: catalogue.ITEM_ENTRIES,
    SCENARIOS: catalogue.SCENARIO_ENTRIES,
}
"""Topic suffix to the kinds of entry that belong there."""

ACTIVITY = "activity"


class ReplayRefused(CrossRecError):
    """A letter is not replayed; the text says which, and why."""


@dataclass(frozen=True)
class Repair:
    """A value instead of the one that could not be folded.

    Args:
        form: `entry`, an Entry in protobuf JSON, or `value`, bytes in the format that the letter's headers name.
        content: the file's content.
    """

    form: Literal["entry", "value"]
    content: bytes


@dataclass(frozen=True)
class Sending:
    """A record to send, and what its partition follows from; None: the partition it came from."""

    record: OutputRecord
    partition_key: bytes | None


@dataclass(frozen=True)
class Sent:
    """Where a replayed record is now."""

    number: int
    topic: str
    partition: int
    offset: int


def replay(settings: Settings, numbers: Sequence[int], repair: Repair | None = None, again: bool = False) -> list[Sent]:
    """Send letters back to their topics; a repair is for the only one.

    Raises DeadLetterNotFound, ReplayRefused (nothing is sent then), KafkaUnavailable.
    """
    numbers = sorted(set(numbers))
    with reachable(settings.kafka):
        producer = _producer(settings)
        try:
            # From here on no other replay can commit: what it has committed is seen, what not will never be.
            producer.init_transactions()
            _refuse_replayed(settings, numbers, again)
            letters = [read_dead_letter(settings, number) for number in numbers]
            sendings = [prepared(letter, settings, repair, time.time) for letter in letters]
            return _sent(producer, dead_letter_topic(settings), letters, sendings)
        finally:
            producer.close(timeout=WAIT_S)


def prepared(
    letter: ParsedDeadLetter, settings: Settings, repair: Repair | None, clock: Callable[[], float]
) -> Sending:
    """The record to send for a letter. Raises ReplayRefused, naming field and reason."""
    suffix = letter.topic.removeprefix(f"{settings.kafka.topic_prefix}.")
    if suffix not in {*ENTRIES, ACTIVITY} or letter.topic != topic_name(settings.kafka.topic_prefix, suffix):
        raise ReplayRefused(f"dead letter {letter.number}: its topic {letter.topic!r} is none that consumers fold")
    original = OutputRecord(letter.topic, letter.key, letter.value, list(letter.headers))
    try:
        if repair is None:
            return Sending(original, _partition_key(suffix, letter.key))
        if suffix == ACTIVITY:
            return _repaired_delta(original, repair, settings)
        return _repaired_entry(original, suffix, repair, settings, clock)
    except BadRecord as error:
        raise ReplayRefused(f"dead letter {letter.number}: the repaired value is refused: {error}") from error


def _partition_key(suffix: str, key: bytes | None) -> bytes | None:
    """What the gateway would have hashed for a record with this key."""
    if key is None or suffix != ITEMS:
        return key
    return key.split(KEY_SEPARATOR.encode(), 1)[0]


def _repaired_delta(original: OutputRecord, repair: Repair, settings: Settings) -> Sending:
    if repair.form == "entry":
        raise BadRecord("records of the activity topic are no entries; repair them as bytes")
    parse_deltas(build_schema(settings.features), repair.content)
    return Sending(replace(original, value=repair.content), original.key)


def _repaired_entry(
    original: OutputRecord, suffix: str, repair: Repair, settings: Settings, clock: Callable[[], float]
) -> Sending:
    others = [(name, value) for name, value in original.headers if name.lower() != CONTENT_TYPE]
    headers = original.headers if repair.form == "value" else [(CONTENT_TYPE, JSON.encode())]
    entry = _checked(Record(original.topic, 0, 0, None, repair.content, list(headers)), suffix, settings, clock)
    way = route_entry(entry)
    if repair.form == "value":
        return Sending(replace(original, key=way.key, value=repair.content), way.partition_key)
    value, content_type = encode(entry)
    return Sending(OutputRecord(original.topic, way.key, value, [*content_type, *others]), way.partition_key)


def _checked(record: Record, suffix: str, settings: Settings, clock: Callable[[], float]) -> Entry:
    """The entry in a record, judged as its consumer will; BadRecord names the field."""
    tolerance_s, max_age_s = settings.gateway.future_tolerance_s, settings.max_age_s
    decoder = Decoder(ENTRIES[suffix], settings.features, clock, tolerance_s, max_age_s)
    good, bad = decoder.split([record])
    if bad:
        raise BadRecord(bad[0].reason)
    return good[0][1]


def _refuse_replayed(settings: Settings, numbers: Sequence[int], again: bool) -> None:
    replayed: Collection[int] = () if again else read_replayed(settings, min(numbers))
    done = [str(number) for number in numbers if number in replayed]
    if done:
        raise ReplayRefused(f"replayed before: {', '.join(done)}; nothing was sent, --again sends once more")


def _producer(settings: Settings) -> KafkaProducer:
    return KafkaProducer(
        **kafka_arguments(settings.kafka),
        bootstrap_timeout_ms=int(WAIT_S * 1000),
        max_block_ms=int(WAIT_S * 1000),
        transactional_id=f"{settings.consumers.group_prefix}-dead-letter-replay",
        acks="all",
        max_request_size=MAX_REQUEST_BYTES,
    )


def _sent(
    producer: KafkaProducer, topic: str, letters: Sequence[ParsedDeadLetter], sendings: Sequence[Sending]
) -> list[Sent]:
    producer.begin_transaction()
    try:
        futures = [_send(producer, topic, *pair) for pair in zip(letters, sendings, strict=True)]
        producer.commit_transaction()
        stored: list[Any] = [future.get(timeout=WAIT_S) for future in futures]
    except KafkaError:
        # An open transaction would hold up all readers of the topics until it times out.
        with suppress(KafkaError):
            producer.abort_transaction()
        raise
    return [Sent(letter.number, at.topic, at.partition, at.offset) for letter, at in zip(letters, stored, strict=True)]


def _send(producer: KafkaProducer, topic: str, letter: ParsedDeadLetter, sending: Sending) -> Any:
    """Hand the record and its marker to the producer; returns the future of the record."""
    record, note, key = sending.record, marker(topic, letter.number), sending.partition_key
    partition = letter.partition if key is None else partition_of(key, producer.partitions_for(record.topic))
    future = producer.send(record.topic, record.value, record.key, headers=record.headers, partition=partition)
    producer.send(note.topic, note.value, note.key, headers=note.headers, partition=0)
    return future
