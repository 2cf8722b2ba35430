"""The dead-letter topic on Kafka: reading it outside any consumer group."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace

from services.consumers.dead_letters.parse import ParsedDeadLetter, parse_dead_letter, replayed_number
from services.errors import CrossRecError
from services.events.routing import topic_name
from services.kafka.reader import TopicReader, open_reader
from services.kafka.topics import DEAD_LETTERS
from services.settings.load import Settings

PARTITION = 0
"""The topic's only partition."""


class DeadLetterNotFound(CrossRecError):
    """There is no dead letter of this number."""


@dataclass(frozen=True)
class ListedDeadLetter:
    """A dead letter in a list.

    Args:
        dead_letter: without its value, which may be large.
        size: bytes of the value.
        replayed_s: when it was last replayed, seconds since 1970; None: never.
    """

    dead_letter: ParsedDeadLetter
    size: int
    replayed_s: float | None


def dead_letter_topic(settings: Settings) -> str:
    """The topic's name."""
    return topic_name(settings.kafka.topic_prefix, DEAD_LETTERS)


def list_dead_letters(
    settings: Settings, wanted: Callable[[ParsedDeadLetter], bool], since_s: float, limit: int
) -> list[ListedDeadLetter]:
    """The newest `limit` dead letters that are wanted, oldest first. Raises KafkaUnavailable, DeadLetterNotFound."""
    found: deque[tuple[ParsedDeadLetter, int]] = deque(maxlen=limit)
    replayed: dict[int, float] = {}
    with open_reader(settings.kafka) as reader:
        topic = _require_topic(reader, settings)
        for record in reader.records(topic, reader.offsets_at(topic, since_s)):
            number = replayed_number(record)
            if number is not None:
                replayed[number] = record.time_s
                continue
            dead_letter = parse_dead_letter(replace(record, value=None))
            if wanted(dead_letter):
                found.append((dead_letter, len(record.value or b"")))
    return [ListedDeadLetter(each, size, replayed.get(each.number)) for each, size in found]


def read_dead_letter(settings: Settings, number: int) -> ParsedDeadLetter:
    """One dead letter. Raises KafkaUnavailable, DeadLetterNotFound."""
    with open_reader(settings.kafka) as reader:
        topic = _require_topic(reader, settings)
        first = reader.first_records(topic, {PARTITION: max(number, 0)}).get(PARTITION)
        if first is None or first.offset != number or replayed_number(first) is not None:
            raise DeadLetterNotFound(f"{topic} holds no dead letter {number}")
        return parse_dead_letter(first)


def read_replayed_numbers(settings: Settings, since: int) -> set[int]:
    """Numbers of the dead letters that have a replay marker at or after the offset `since`.

    Raises KafkaUnavailable, DeadLetterNotFound.
    """
    with open_reader(settings.kafka) as reader:
        topic = _require_topic(reader, settings)
        numbers = map(replayed_number, reader.records(topic, {PARTITION: max(since, 0)}))
        return {number for number in numbers if number is not None}


def _require_topic(reader: TopicReader, settings: Settings) -> str:
    topic = dead_letter_topic(settings)
    if not reader.partitions(topic):
        raise DeadLetterNotFound(f"there is no topic {topic}; `crossrec setup` creates it")
    return topic
