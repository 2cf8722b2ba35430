"""Records to entries: parse, check the kind, check the rules; what fails has a reason."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from crossrec.events.v1.events_pb2 import Entry
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

    def split(self, records: Sequence[Record]) -> tuple[list[tuple[Record, Entry]], list[tuple[Record, str]]]:
        """Good records with their entries, and bad ones with the reason."""
        good, bad, now_s = [], [], self.clock()
        for record in records:
            try:
                good.append((record, self._entry(record, now_s)))
            except BadRecord as error:
                bad.append((record, str(error)))
        return good, bad

    def _entry(self, record: Record, now_s: float) -> Entry:
        entry = decode(record.value, record.headers)
        kind = entry.WhichOneof("entry")
        if kind not in self.kinds:
            raise BadRecord(f"entry: {kind or 'nothing'} does not belong on this topic")
        found = violation(entry, self.config, now_s, self.future_tolerance_s)
        if found:
            raise BadRecord(f"{found.field}: {found.reason}")
        return entry


def seconds(timestamp: object) -> float:
    """A protobuf timestamp as seconds since 1970, exact to the microsecond."""
    return timestamp.ToMicroseconds() / 1e6  # type: ignore[attr-defined, no-any-return]
