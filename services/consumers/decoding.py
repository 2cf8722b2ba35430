"""Decoding of records: parse the entry, check its kind, validate it; failures have a reason."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from google.protobuf.timestamp_pb2 import Timestamp

from crossrec.events.v1.events_pb2 import Entry
from services.consumers.dead_letters.record import DeadLetter
from services.events.codec import BadRecord, decode
from services.events.validation import find_violation
from services.features.config import FeatureConfig
from services.kafka.record_source import Record


@dataclass(frozen=True)
class Decoder:
    """Turns records of one topic into valid entries.

    Args:
        kinds: kinds of entry allowed on the topic.
        config: declares the attributes.
        clock: seconds since 1970; used for records without a time.
        future_tolerance_s: how far ahead of its record's time an event time may be, seconds.
        max_age_s: how far behind it a behaviour event may be, seconds.
    """

    kinds: frozenset[str]
    config: FeatureConfig
    clock: Callable[[], float]
    future_tolerance_s: float
    max_age_s: float = float("inf")

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
        # Producers that write to Kafka directly may omit the id: the position identifies the record.
        message = getattr(entry, kind)
        without_id = not message.event_id
        if without_id:
            message.event_id = "-"
        # By the record's own time, so that a repeated batch is validated with the same result.
        now_s = record.time_s if record.time_s > 0 else self.clock()
        found = find_violation(entry, self.config, now_s, self.future_tolerance_s, self.max_age_s)
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
