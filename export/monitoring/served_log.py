"""Reads the topics of served answers and of behaviour events for a time window.

Answers of users erased later are dropped. Knows topics and records; knows nothing of features.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from google.protobuf.message import DecodeError

from crossrec.ranking.v1.served_pb2 import ServedRanking
from services.consumers.behavior import ENTRIES
from services.consumers.decoding import Decoder, TimeLimits, seconds
from services.events.routing import BEHAVIOR
from services.features.event_types import EVENT_TYPES
from services.kafka.connection import KafkaUnavailable
from services.kafka.reader import open_reader
from services.kafka.record_source import Record
from services.kafka.topics import RANKED
from services.settings.load import Settings

USER_UPDATE = "user_update"
"""Kind of an update of a user's attributes."""


@dataclass(frozen=True, slots=True)
class ObservedEvent:
    """A behaviour event as recorded in Kafka.

    Args:
        user: user id.
        scenario: scenario id.
        item: item id; "" for none.
        kind: one of EVENT_TYPES; of an update of a user's attributes, USER_UPDATE.
        time_s: event time, seconds since 1970.
        token: attribution token; "" for none.
        partition: partition of the behaviour topic.
        offset: offset in the partition.
        arrived_s: timestamp of the Kafka record, seconds since 1970.
    """

    user: str
    scenario: str
    item: str
    kind: str
    time_s: float
    token: str
    partition: int
    offset: int
    arrived_s: float


@dataclass(frozen=True)
class ObservedBehaviour:
    """Valid behaviour events in the order of arrival, and erasure times per user, seconds since 1970.

    `updates` are those of users' attributes; they have neither scenario nor item nor token.
    """

    events: list[ObservedEvent]
    erased_s: dict[str, float]
    updates: list[ObservedEvent] = field(default_factory=list)


@dataclass(frozen=True)
class ServedAnswers:
    """Answers in the order of `served_time`, and how many were dropped: of erased users, and unreadable ones."""

    records: list[ServedRanking]
    erased: int
    unreadable: int


def read_answers(settings: Settings, from_s: float, until_s: float, erased_s: dict[str, float]) -> ServedAnswers:
    """Read the answers with a record timestamp in [from_s, until_s), without those of users erased since.

    Raises KafkaUnavailable.
    """
    read, erased, unreadable = list[ServedRanking](), 0, 0
    for record in read_topic(settings, RANKED, from_s, until_s):
        answer = _answer(record)
        if answer is None:
            unreadable += 1
        elif served_at_s(answer) <= erased_s.get(answer.user_id, 0.0):
            erased += 1
        else:
            read.append(answer)
    return ServedAnswers(sorted(read, key=served_at_s), erased, unreadable)


def read_behaviour(settings: Settings, from_s: float) -> ObservedBehaviour:
    """Read the behaviour events with a record timestamp from `from_s` on. Raises KafkaUnavailable.

    Records that consumers would send to the dead-letter topic are skipped.
    """
    times = TimeLimits(time.time, settings.gateway.future_tolerance_s, settings.max_age_s)
    decoder = Decoder(ENTRIES, settings.features, times)
    events, updates, erased_s = list[ObservedEvent](), list[ObservedEvent](), dict[str, float]()
    for record in read_topic(settings, BEHAVIOR, from_s, float("inf")):
        for _, entry in decoder.split([record])[0]:
            if entry.WhichOneof("entry") == "user_erasure":
                erasure = entry.user_erasure
                erased_s[erasure.user_id] = max(seconds(erasure.time), erased_s.get(erasure.user_id, 0.0))
                continue
            place = (record.partition, record.offset, record.time_s)
            if entry.WhichOneof("entry") == USER_UPDATE:
                update = entry.user_update
                updates.append(ObservedEvent(update.user_id, "", "", USER_UPDATE, seconds(update.time), "", *place))
                continue
            event = entry.behavior_event
            events.append(
                ObservedEvent(
                    event.user_id,
                    event.scenario_id,
                    event.item_id,
                    EVENT_TYPES[event.type - 1],
                    seconds(event.time),
                    event.attribution_token,
                    *place,
                )
            )
    return ObservedBehaviour(sorted(events, key=lambda event: event.arrived_s), erased_s, updates)


def served_at_s(answer: ServedRanking) -> float:
    """Time of the answer, seconds since 1970."""
    return float(answer.served_time.ToNanoseconds() / 1e9)


def requested_at_s(answer: ServedRanking) -> float:
    """Time of the request, exactly as the server used it, seconds since 1970."""
    return float(answer.request_time.seconds + answer.request_time.nanos / 1e9)


def read_topic(settings: Settings, suffix: str, from_s: float, until_s: float) -> Iterator[Record]:
    """Read the records of a topic with a timestamp in [from_s, until_s), up to the current end offsets.

    Raises KafkaUnavailable.
    """
    topic = f"{settings.kafka.topic_prefix}.{suffix}"
    with open_reader(settings.kafka, max_poll_records=2000) as reader:
        if not reader.partitions(topic):
            raise KafkaUnavailable(f"there is no topic {topic}: `crossrec setup` creates it")
        for record in reader.records(topic, reader.offsets_at(topic, from_s)):
            if record.time_s < until_s:
                yield record


def _answer(record: Record) -> ServedRanking | None:
    try:
        answer = ServedRanking.FromString(record.value or b"")
    except DecodeError:
        return None
    return answer if answer.answer_id else None
