"""Decoding of records: parse the entry, check its kind, validate it; failures have a reason.

Producers that write to Kafka directly may leave out what the gateway would fill in: an entry without an id is
identified by its position, one without a time has its record's.
"""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from google.protobuf.timestamp_pb2 import Timestamp

from crossrec.events.v1.events_pb2 import Entry
from services.consumers.dead_letters.record import DeadLetter
from services.events.codec import BadRecord, decode
from services.events.validation import find_violation
from services.features.config import DAY_S, FeatureConfig
from services.kafka.record_source import Record


@dataclass(frozen=True)
class TimeLimits:
    """Which times in a record are accepted: they are compared with the record's own.

    Args:
        clock: seconds since 1970; used for records without a time, or with one more than a day ahead.
        future_tolerance_s: how far ahead of its record's time a time may be, seconds.
        max_age_s: how far behind it, seconds.
    """

    clock: Callable[[], float] = time.time
    future_tolerance_s: float = 300.0
    max_age_s: float = math.inf

    def record_time_s(self, record: Record) -> float:
        """The time by which those in the record are judged, so that a repeated batch is judged with the same result."""
        now_s = self.clock()
        # Where a topic keeps its producers' times, a record of the year 9999 would admit any event.
        return record.time_s if 0 < record.time_s <= now_s + DAY_S else now_s


@dataclass(frozen=True)
class Decoder:
    """Turns records of one topic into valid entries.

    Args:
        kinds: kinds of entry allowed on the topic.
        config: declares the attributes.
        times: accepted times; the greatest age holds for behaviour events alone.
    """

    kinds: frozenset[str]
    config: FeatureConfig
    times: TimeLimits

    def split(self, records: Sequence[Record]) -> tuple[list[tuple[Record, Entry]], list[DeadLetter]]:
        """Valid records with their entries, and dead letters for the others."""
        good, bad = [], []
        for record in records:
            try:
                good.append((record, self._entry(record)))
            except BadRecord as error:
                bad.append(DeadLetter(record, str(error)))
        return good, bad

    def _entry(self, record: Record) -> Entry:
        entry = _parse(record)
        kind = entry.WhichOneof("entry")
        if kind not in self.kinds:
            raise BadRecord(f"entry: {kind or 'nothing'} does not belong on this topic")
        message = getattr(entry, kind)
        without_id = not message.event_id
        if without_id:
            message.event_id = "-"
        now_s = self.times.record_time_s(record)
        if not message.HasField("time"):
            message.time.FromMicroseconds(round(now_s * 1e6))
        found = find_violation(entry, self.config, now_s, self.times.future_tolerance_s, self.times.max_age_s)
        if without_id:
            message.event_id = ""
        if found:
            raise BadRecord(f"{found.field}: {found.reason}")
        return entry


def _parse(record: Record) -> Entry:
    try:
        return decode(record.value, record.headers)
    except BadRecord:
        raise
    except Exception as error:
        # Whatever a parser raises for hostile bytes (too deep nesting, say), one record must not stop the rest.
        raise BadRecord(f"not an Entry: {type(error).__name__}") from error


def seconds(timestamp: Timestamp) -> float:
    """A protobuf timestamp as seconds since 1970, exact to the microsecond."""
    return timestamp.ToMicroseconds() / 1e6
