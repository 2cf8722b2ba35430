"""The dead-letter topic on Kafka: reading it from outside any group."""

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from kafka import KafkaConsumer, TopicPartition

from services.consumers.dead_letters.parse import ParsedDeadLetter, parse_dead_letter, replay_of
from services.consumers.dead_letters.record import SUFFIX
from services.errors import CrossRecError
from services.events.routing import topic_name
from services.kafka.reader import first_records, offsets_at, reachable, reader
from services.settings.load import Settings


class DeadLetterNotFound(CrossRecError):
    """There is no dead letter of this number."""


@dataclass(frozen=True)
class ListedDeadLetter:
    """A letter in a list.

    Args:
        letter: without its value, which may be large.
        size: bytes of the value.
        replayed_s: when it was replayed the last time, seconds since 1970; None: never.
    """

    letter: ParsedDeadLetter
    size: int
    replayed_s: float | None


def dead_letter_topic(settings: Settings) -> str:
    """The topic's name."""
    return topic_name(settings.kafka.topic_prefix, SUFFIX)


def list_dead_letters(
    settings: Settings, wanted: Callable[[ParsedDeadLetter], bool], since_s: float, limit: int
) -> list[ListedDeadLetter]:
    """The newest `limit` letters that are wanted, oldest first. Raises KafkaUnavailable, DeadLetterNotFound."""
    found: deque[Any] = deque(maxlen=limit)
    replayed: dict[int, float] = {}
    with reachable(settings.kafka), reader(settings.kafka) as consumer:
        partition = _partition(consumer, settings)
        (begin,) = offsets_at(consumer, [partition], since_s)
        for record in records_from(consumer, partition, begin):
            number = replay_of(record)
            if number is not None:
                replayed[number] = record.timestamp / 1000
                continue
            letter = parse_dead_letter(record._replace(value=None))
            if wanted(letter):
                found.append((letter, len(record.value or b"")))
    return [ListedDeadLetter(letter, size, replayed.get(letter.number)) for letter, size in found]


def read_dead_letter(settings: Settings, number: int) -> ParsedDeadLetter:
    """One letter. Raises KafkaUnavailable, DeadLetterNotFound."""
    with reachable(settings.kafka), reader(settings.kafka) as consumer:
        partition = _partition(consumer, settings)
        first = first_records(consumer, {partition: max(number, 0)}).get(partition)
        if first is None or first.offset != number or replay_of(first) is not None:
            raise DeadLetterNotFound(f"{partition.topic} holds no dead letter {number}")
        return parse_dead_letter(first)


def read_replayed(settings: Settings, since: int) -> set[int]:
    """Numbers of the letters that markers after the offset `since` are about. KafkaUnavailable, DeadLetterNotFound."""
    with reachable(settings.kafka), reader(settings.kafka) as consumer:
        partition = _partition(consumer, settings)
        numbers = (replay_of(record) for record in records_from(consumer, partition, max(since, 0)))
        return {number for number in numbers if number is not None}


def records_from(consumer: KafkaConsumer, partition: TopicPartition, offset: int) -> Iterator[Any]:
    """The committed records from `offset` to what is the end now."""
    end = consumer.end_offsets([partition])[partition]
    consumer.assign([partition])
    consumer.seek(partition, offset)
    while consumer.position(partition) < end:
        for records in consumer.poll(timeout_ms=500).values():
            yield from records


def _partition(consumer: KafkaConsumer, settings: Settings) -> TopicPartition:
    topic = dead_letter_topic(settings)
    if not consumer.partitions_for_topic(topic):
        raise DeadLetterNotFound(f"there is no topic {topic}; `crossrec setup` creates it")
    return TopicPartition(topic, 0)
