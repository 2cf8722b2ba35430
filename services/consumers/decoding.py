"""Records to entries: parse, check the kind, check the rules; what fails has a reason."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from google.protobuf.timestamp_pb2 import Timestamp

from crossrec.events.v1.events_pb2 import Entry
from services.consumers.dead_letters import DeadLetter
from services.consumers.log import Record
from services.events.codec import BadRecord, decode
from services.events.validation import violation
from services.features.config import FeatureConfig


@dataclass(frozen=True)
class Decoder:
    """Turns records of one topic into valid entries.

    Args:
        kinds: kinds of entry that belong on the topic.
        config: for the declared attributes.
        clock: seconds since 1970.
        future_tolerance_s: how far ahead of the clock an event time may be.
    """

    kinds: frozenset[str]
    config: FeatureConfig
    clock: Callable[[], float]
    future_tolerance_s: float

    def split(self, records: Sequence[Record]) -> tuple[list[tuple[Record, Entry]], list[DeadLetter]]:
        """Good records with their entries, and bad ones with the reason."""
        good, bad, now_s = [], [], self.clock()
        for record in records:
            try:
                good.append((record, self._entry(record, now_s)))
            except BadRecord as error:
                bad.append(DeadLetter(record, str(error)))
        return good, bad

    def _entry(self, record: Record, now_s: float) -> Entry:
        entry = _parsed(record)
        kind = entry.WhichOneof("entry")
        if kind not in self.kinds:
            raise BadRecord(f"entry: {kind or 'nothing'} does not belong on this topic")
        # Producers that write to Kafka themselves may leave the id out: the position identifies the record.
        message = getattr(entry, kind)
        nameless = not message.event_id
        if nameless:
            message.event_id = "-"
        found = violation(entry, self.config, now_s, self.future_tolerance_s)
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
