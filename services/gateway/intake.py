"""From entries to confirmations: judges entries, counts what is pending, has the accepted ones stored.

What both RPCs share; knows nothing of gRPC.
"""

import time
import uuid
from collections.abc import Callable, Sequence
from concurrent.futures import wait
from dataclasses import dataclass, field
from itertools import islice

from crossrec.events.v1.events_pb2 import Accepted, Entry, EntryResult, Rejected, Unconfirmed
from services.errors import InvalidRequest, Overloaded, Unavailable
from services.events.codec import encode
from services.events.routing import route_entry, topic_name
from services.events.validation import find_violation, stamp_entry
from services.features.config import FeatureConfig
from services.gateway.naming import renamed
from services.gateway.pressure import PendingBudget
from services.gateway.watch import EntryObserver, NullEntryObserver, type_of
from services.kafka.publisher import (
    Confirmation,
    OutgoingRecord,
    Publisher,
    all_completed,
    combine,
    confirmation_error,
    failed_confirmation,
)
from services.server.security.pseudonyms import Pseudonymizer

MAX_ENTRIES = 1000

RETRY_AFTER_S = 1.0
"""What who finds the gateway full is told to wait, seconds."""


@dataclass(frozen=True)
class IntakeConfig:
    """What the answers depend on besides the request.

    Args:
        features: declares the numeric attributes.
        topic_prefix: topics are named `<prefix>.<suffix>`.
        future_tolerance_s: how far ahead of the clock an event may be, seconds.
        max_age_s: how far behind the clock a behaviour event may be, seconds.
        kafka_timeout_s: seconds until an entry that Kafka has not confirmed is answered as unconfirmed.
        pseudonyms: what users are called in what is stored.
    """

    features: FeatureConfig
    topic_prefix: str
    future_tolerance_s: float
    max_age_s: float
    kafka_timeout_s: float
    pseudonyms: Pseudonymizer = field(default_factory=Pseudonymizer)


@dataclass(frozen=True)
class ValidatedBatch:
    """A batch of which it is known what may be stored.

    Args:
        results: per entry, in order; accepted ones stand for entries that are still to be stored.
        records: the accepted ones, in order.
        shares: how many of the records each accepted entry has, in order.
        types: types of the accepted entries, in order.
    """

    results: list[EntryResult] = field(default_factory=list)
    records: list[OutgoingRecord] = field(default_factory=list)
    shares: list[int] = field(default_factory=list)
    types: list[str] = field(default_factory=list)

    @property
    def size(self) -> int:
        """Bytes of the records' keys and values."""
        return sum(len(record.key) + len(record.value) for record in self.records)


@dataclass(frozen=True)
class Submission:
    """A judged batch whose records are on their way.

    Args:
        results: as judged.
        confirmations: per accepted entry, in order.
        known: ends when all of these have ended.
    """

    results: list[EntryResult]
    confirmations: list[Confirmation]
    known: Confirmation

    def failures(self, timeout_s: float) -> list[Exception]:
        """What is known to have failed, or not known, of the accepted entries after at most `timeout_s` seconds."""
        wait([self.known], max(0.0, timeout_s))
        return [found for found in map(confirmation_error, self.confirmations) if found is not None]

    def answer(self) -> list[EntryResult]:
        """Per entry, what is known by now: accepted means stored."""
        confirmations = iter(self.confirmations)
        return [
            _confirmed(result, confirmation_error(next(confirmations))) if result.HasField("accepted") else result
            for result in self.results
        ]


class Intake:
    """Takes batches in.

    Args:
        publisher: stores records.
        rules: see `IntakeConfig`.
        budget: bounds what is pending.
        now_s: the clock, seconds since 1970.
        make_id: makes unique event ids.
        watch: hears what becomes of entries.
    """

    def __init__(
        self,
        publisher: Publisher,
        rules: IntakeConfig,
        budget: PendingBudget,
        now_s: Callable[[], float] = time.time,
        make_id: Callable[[], str] = lambda: uuid.uuid4().hex,
        watch: EntryObserver | None = None,
    ) -> None:
        self.rules, self.budget = rules, budget
        self._watch = watch or NullEntryObserver()
        self._publisher = publisher
        self._now_s = now_s
        self._make_id = make_id

    def judge(self, entries: Sequence[Entry]) -> ValidatedBatch:
        """Stamp and validate every entry by itself; InvalidRequest for a batch that is empty or too long."""
        check_length(entries)
        now_s = self._now_s()
        judged, rejected = ValidatedBatch(), list[str]()
        for given in entries:
            entry = stamp_entry(given, now_s, self._make_id)
            rules = self.rules
            found = find_violation(entry, rules.features, now_s, rules.future_tolerance_s, rules.max_age_s)
            if found:
                judged.results.append(EntryResult(rejected=Rejected(field=found.field, reason=found.reason)))
                rejected.append(type_of(entry))
            else:
                judged.results.append(EntryResult(accepted=Accepted(event_id=_event_id(entry))))
                records = [self._record(named) for named in renamed(entry, self.rules.pseudonyms)]
                judged.records.extend(records)
                judged.shares.append(len(records))
                judged.types.append(type_of(entry))
        self._watch.rejected(rejected)
        return judged

    def submit(self, judged: ValidatedBatch, timeout_s: float) -> Submission:
        """Begin to store; Overloaded if there is no room now. Nothing is begun then."""
        if not judged.records:
            return _submission(judged, [])
        if not self.budget.take(judged.size, len(judged.records)):
            raise Overloaded(
                "Kafka is slow or away, and as much is waiting for it as the gateway may hold; nothing was stored",
                RETRY_AFTER_S,
            )
        return self._send(judged, timeout_s)

    def submit_when_room(self, judged: ValidatedBatch, timeout_s: float, unless: Callable[[], bool]) -> Submission:
        """Begin to store when there is room; unconfirmed if that takes `timeout_s` seconds, or `unless` holds."""
        if not judged.records:
            return _submission(judged, [])
        if not self.budget.take(judged.size, len(judged.records), timeout_s, unless):
            full = Unavailable("Kafka is slow or away, and the gateway may hold no more; not stored")
            return _submission(judged, [failed_confirmation(full) for _ in judged.records])
        return self._send(judged, timeout_s)

    def _send(self, judged: ValidatedBatch, timeout_s: float) -> Submission:
        begun_s = time.perf_counter()
        try:
            confirmations = self._publisher.send(judged.records, timeout_s)
        except BaseException:
            self.budget.give_back(judged.size, len(judged.records))
            raise
        submission = _submission(judged, confirmations)
        size, count, types = judged.size, len(judged.records), judged.types

        def known(_: Confirmation) -> None:
            self.budget.give_back(size, count)
            self._tell(types, submission.confirmations, time.perf_counter() - begun_s)

        submission.known.add_done_callback(known)
        return submission

    def _tell(self, types: Sequence[str], confirmations: Sequence[Confirmation], seconds: float) -> None:
        found = [
            (name, confirmation_error(confirmation)) for name, confirmation in zip(types, confirmations, strict=True)
        ]
        stored, unconfirmed = [n for n, error in found if not error], [n for n, error in found if error]
        self._watch.ended(stored, unconfirmed, seconds)

    def _record(self, entry: Entry) -> OutgoingRecord:
        way = route_entry(entry)
        value, headers = encode(entry)
        topic = topic_name(self.rules.topic_prefix, way.suffix)
        return OutgoingRecord(topic, way.key, way.partition_key, value, headers)


def check_length(entries: Sequence[Entry]) -> None:
    """InvalidRequest for a batch that is empty or too long."""
    if not 1 <= len(entries) <= MAX_ENTRIES:
        raise InvalidRequest("entries", f"has {len(entries)} entries, must have 1 to {MAX_ENTRIES}")


def _submission(judged: ValidatedBatch, confirmations: list[Confirmation]) -> Submission:
    if len(judged.shares) == len(confirmations):
        return Submission(judged.results, confirmations, all_completed(confirmations))
    each = iter(confirmations)
    per_entry = [combine(list(islice(each, share))) for share in judged.shares]
    return Submission(judged.results, per_entry, all_completed(per_entry))


def _event_id(entry: Entry) -> str:
    event_id: str = getattr(entry, entry.WhichOneof("entry") or "").event_id
    return event_id


def _confirmed(accepted: EntryResult, error: Exception | None) -> EntryResult:
    if error is None:
        return accepted
    # The client library's text is for the log, not for callers.
    reason = str(error) if isinstance(error, Unavailable) else f"Kafka has not confirmed it ({type(error).__name__})"
    return EntryResult(unconfirmed=Unconfirmed(event_id=accepted.accepted.event_id, reason=reason))
