"""Records to entries: parse, check the kind, check the rules; what fails has a reason."""

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
        kinds: kinds of entry that belong on the topic.
        config: for the declared attributes.
        clock: seconds since 1970; stands in for records that came without a time.
        future_tolerance_s: how far ahead of its record's time an event time may be.
        max_age_s: how far behind it a behaviour event may be.
    """

    kinds: frozenset[str]
    config: FeatureConfig
    clock: Callable[[], float]
    future_tolerance_s: float
    max_age_s: float = float("inf")

    def split(self, records: Sequence[Record]) -> tuple[list[tuple[Record, Entry]], list[DeadLetter]]:
        """Good records with their entries, and bad ones with the reason."""
        good, bad = [], []
        for record in records:
            try:
                good.append((record, self._entry(record)))
            except BadRecord as error:
                bad.append(DeadLetter(record, str(error)))
        return good, bad

    def _entry(self, record: Record) -> Entry:
        entry = _parsed(record)
        kind = entry.WhichOneof("entry")
        if kind not in self.kinds:
            raise BadRecord(f"entry: {kind or 'nothing'} does not belong on this topic")
        # Producers that write to Kafka themselves may leave the id out: the position identifies the record.
        message = getattr(entry, kind)
        nameless = not message.event_id
        if nameless:
            message.event_id = "-"
        # By the record's own time, so that a batch that is folded again is judged as it was the first time.
        now_s = record.time_s if record.time_s > 0 else self.clock()
        found = find_violation(entry, self.config, now_s, self.future_tolerance_s, self.max_age_s)
        if nameless:
            message.event_id = ""
        if found:
            raise BadRecord(f"{found.field}: {found.reason}")
        return entry


def _parsed(record: Record) -> Entry:
    try:
        return decode(record.value, record.headers)
    except BadRecord:
        raise
    except Exception as error:
        # Whatever a parser makes of hostile bytes (too deep a nesting, say), one record must not stop the rest.
        raise BadRecord(f"not an Entry: {type(error).__name__}") from error


def seconds(timestamp: Timestamp) -> float:
    """A protobuf timestamp as seconds since 1970, exact to the microsecond."""
    return timestamp.ToMicroseconds() / 1e6
