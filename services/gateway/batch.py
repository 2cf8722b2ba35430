"""Validation of a batch of entries: each entry is stamped, validated, pseudonymised and encoded by itself.

Pure but for the clock and the ids passed in; knows neither gRPC nor Kafka's client.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from crossrec.events.v1.events_pb2 import Accepted, Entry, EntryResult, Rejected
from services.errors import InvalidRequest
from services.events.checks import Violation
from services.events.codec import encode
from services.events.routing import DELETIONS, route_entry, topic_name
from services.events.validation import find_violation, stamp_entry
from services.features.config import FeatureConfig
from services.features.event_types import EVENT_TYPES
from services.kafka.publisher import OutgoingRecord
from services.server.security.caller import Scope
from services.server.security.pseudonyms import Pseudonymizer

MAX_ENTRIES = 1000

UNKNOWN = "unknown"
"""Type of an entry whose kind or event type is not known."""

SCOPE_OF_KIND = {
    "behavior_event": Scope.PUBLISH,
    "user_update": Scope.PUBLISH,
    "item_update": Scope.CATALOGUE,
    "item_scenario_update": Scope.CATALOGUE,
    "scenario_update": Scope.CATALOGUE,
    "item_deletion": Scope.CATALOGUE,
    "item_scenario_deletion": Scope.CATALOGUE,
    "scenario_deletion": Scope.CATALOGUE,
    "user_erasure": Scope.ERASE,
}
"""The scope that each kind of entry needs."""

_EVENT_TYPE_NAMES = dict(enumerate(("unspecified", *EVENT_TYPES)))
"""Names of event types by protobuf enum number."""


@dataclass(frozen=True)
class IntakeConfig:
    """Settings of validation and publishing.

    Args:
        features: declares the attributes.
        topic_prefix: topics are named `<prefix>.<suffix>`.
        future_tolerance_s: how far ahead of the clock an event may be, seconds.
        max_age_s: how far behind the clock a behaviour event may be, seconds.
        kafka_timeout_s: seconds until an entry that Kafka has not confirmed is answered as unconfirmed.
        pseudonyms: replaces user ids in stored entries.
    """

    features: FeatureConfig
    topic_prefix: str
    future_tolerance_s: float
    max_age_s: float
    kafka_timeout_s: float
    pseudonyms: Pseudonymizer = field(default_factory=Pseudonymizer)


@dataclass(frozen=True)
class ValidatedBatch:
    """A validated batch: results, and the records to store.

    Args:
        results: per entry, in order; `accepted` marks the entries that are still to be stored.
        records: the records of the accepted entries, in order.
        record_counts: how many of the records each accepted entry has, in order.
        types: types of the accepted entries, in order.
        rejected_types: types of the rejected entries, in order.
    """

    results: list[EntryResult] = field(default_factory=list)
    records: list[OutgoingRecord] = field(default_factory=list)
    record_counts: list[int] = field(default_factory=list)
    types: list[str] = field(default_factory=list)
    rejected_types: list[str] = field(default_factory=list)

    @property
    def size(self) -> int:
        """Bytes of the records' keys and values."""
        return sum(len(record.key) + len(record.value or b"") for record in self.records)


def validate_batch(
    entries: Sequence[Entry],
    config: IntakeConfig,
    scopes: frozenset[Scope],
    now_s: float,
    make_id: Callable[[], str],
) -> ValidatedBatch:
    """Stamp and validate every entry by itself; InvalidRequest for a batch that is empty or too long.

    An entry of a kind that the caller's `scopes` do not permit is rejected, and the others are not affected.
    """
    check_length(entries)
    batch = ValidatedBatch()
    for given in entries:
        entry = stamp_entry(given, now_s, make_id)
        found = find_refusal(entry, scopes) or find_violation(
            entry, config.features, now_s, config.future_tolerance_s, config.max_age_s
        )
        if found:
            batch.results.append(EntryResult(rejected=Rejected(field=found.field, reason=found.reason)))
            batch.rejected_types.append(entry_type(entry))
        else:
            batch.results.append(EntryResult(accepted=Accepted(event_id=_event_id(entry))))
            records = [_record(stored, config.topic_prefix) for stored in pseudonymize(entry, config.pseudonyms)]
            batch.records.extend(records)
            batch.record_counts.append(len(records))
            batch.types.append(entry_type(entry))
    return batch


def find_refusal(entry: Entry, scopes: frozenset[Scope]) -> Violation | None:
    """Why a caller with these scopes may not publish the entry, or None; an entry without a kind is not judged."""
    kind = entry.WhichOneof("entry")
    if kind is None or SCOPE_OF_KIND[kind] in scopes:
        return None
    return Violation(kind, f"needs a token with the scope {SCOPE_OF_KIND[kind]}")


def check_length(entries: Sequence[Entry]) -> None:
    """InvalidRequest for a batch that is empty or too long."""
    if not 1 <= len(entries) <= MAX_ENTRIES:
        raise InvalidRequest("entries", f"has {len(entries)} entries, must have 1 to {MAX_ENTRIES}")


def pseudonymize(entry: Entry, pseudonyms: Pseudonymizer) -> list[Entry]:
    """The entries to store for a valid entry, with pseudonyms for user ids; may change the entry in place.

    Entries without a user stay as they are. An erasure is stored once per pseudonym key, because rows may be stored
    under the pseudonyms of earlier keys.
    """
    if not pseudonyms.keys:
        return [entry]
    match entry.WhichOneof("entry"):
        case "behavior_event" | "user_update" as kind:
            message = getattr(entry, kind)
            message.user_id = pseudonyms.pseudonymize(message.user_id)
        case "user_erasure":
            return [_erasure_of(entry, name) for name in pseudonyms.all_pseudonyms(entry.user_erasure.user_id)]
    return [entry]


def entry_type(entry: Entry) -> str:
    """The entry's kind; for a behaviour event, its event type. One of a few words, whatever the entry contains."""
    kind = entry.WhichOneof("entry")
    if kind == "behavior_event":
        return _EVENT_TYPE_NAMES.get(entry.behavior_event.type, UNKNOWN)
    return kind or UNKNOWN


def _erasure_of(entry: Entry, user_id: str) -> Entry:
    erasure = Entry()
    erasure.CopyFrom(entry)
    erasure.user_erasure.user_id = user_id
    return erasure


def _event_id(entry: Entry) -> str:
    event_id: str = getattr(entry, entry.WhichOneof("entry") or "").event_id
    return event_id


def _record(entry: Entry, topic_prefix: str) -> OutgoingRecord:
    way = route_entry(entry)
    value, headers = (None, []) if entry.WhichOneof("entry") in DELETIONS else encode(entry)
    return OutgoingRecord(topic_name(topic_prefix, way.suffix), way.key, way.partition_key, value, headers)
