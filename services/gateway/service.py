"""EventService: what the gateway answers.

Knows nothing of Kafka's client (a `Publisher` stores records) and raises errors instead of setting statuses.
"""

import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import grpc

from crossrec.events.v1.events_pb2 import Accepted, Entry, EntryResult, PublishRequest, PublishResponse, Rejected
from crossrec.events.v1.events_pb2_grpc import EventServiceServicer
from services.events.codec import encode
from services.events.routing import route, topic_name
from services.events.validation import Violation, stamped, violation
from services.features.config import FeatureConfig
from services.gateway.publisher import OutgoingRecord, Publisher
from services.runtime.errors import DeadlinePassed, InvalidRequest, Unavailable

MAX_ENTRIES = 1000

_ANSWER_MARGIN_S = 0.05
"""Kept of the caller's deadline, so that UNAVAILABLE arrives before the caller gives up without a reason."""


@dataclass(frozen=True)
class Rules:
    """What the answers depend on besides the request.

    Args:
        features: declares the numeric attributes.
        topic_prefix: topics are named `<prefix>.<suffix>`.
        future_tolerance_s: how far ahead of the clock an event may be, seconds.
        max_age_s: how far behind the clock a behaviour event may be, seconds.
        kafka_timeout_s: seconds until an unconfirmed batch is answered UNAVAILABLE.
    """

    features: FeatureConfig
    topic_prefix: str
    future_tolerance_s: float
    max_age_s: float
    kafka_timeout_s: float


class EventService(EventServiceServicer):
    """Judges entries and has the accepted ones stored.

    Args:
        publisher: stores records.
        rules: see `Rules`.
        now_s: the clock, seconds since 1970.
        make_id: makes unique event ids.
    """

    def __init__(
        self,
        publisher: Publisher,
        rules: Rules,
        now_s: Callable[[], float] = time.time,
        make_id: Callable[[], str] = lambda: uuid.uuid4().hex,
    ) -> None:
        self._publisher = publisher
        self._rules = rules
        self._now_s = now_s
        self._make_id = make_id

    def Publish(self, request: PublishRequest, context: grpc.ServicerContext) -> PublishResponse:  # noqa: N802
        """Answer one result per entry, when every accepted entry is stored."""
        if not 1 <= len(request.entries) <= MAX_ENTRIES:
            raise InvalidRequest("entries", f"has {len(request.entries)} entries, must have 1 to {MAX_ENTRIES}")
        timeout_s = self._timeout_s(context)
        now_s = self._now_s()
        entries = [stamped(entry, now_s, self._make_id) for entry in request.entries]
        violations = [self._violation(entry, now_s) for entry in entries]
        self._store([entry for entry, found in zip(entries, violations, strict=True) if found is None], timeout_s)
        return PublishResponse(results=map(_result, entries, violations))

    def _timeout_s(self, context: grpc.ServicerContext) -> float:
        remaining_s = context.time_remaining()
        if remaining_s is None:
            return self._rules.kafka_timeout_s
        if remaining_s <= _ANSWER_MARGIN_S:
            raise DeadlinePassed("the deadline leaves no time to store anything; nothing was stored")
        return min(self._rules.kafka_timeout_s, remaining_s - _ANSWER_MARGIN_S)

    def _violation(self, entry: Entry, now_s: float) -> Violation | None:
        rules = self._rules
        return violation(entry, rules.features, now_s, rules.future_tolerance_s, rules.max_age_s)

    def _store(self, accepted: Sequence[Entry], timeout_s: float) -> None:
        if not accepted:
            return
        outcomes = self._publisher.publish([self._record(entry) for entry in accepted], timeout_s)
        failures = [outcome for outcome in outcomes if outcome is not None]
        if failures:
            raise Unavailable(
                f"Kafka has not confirmed {len(failures)} of {len(accepted)} entries "
                f"({type(failures[0]).__name__}); send the batch again with the same event ids"
            )

    def _record(self, entry: Entry) -> OutgoingRecord:
        way = route(entry)
        value, headers = encode(entry)
        topic = topic_name(self._rules.topic_prefix, way.suffix)
        return OutgoingRecord(topic, way.key, way.partition_key, value, headers)


def _result(entry: Entry, found: Violation | None) -> EntryResult:
    if found:
        return EntryResult(rejected=Rejected(field=found.field, reason=found.reason))
    message = getattr(entry, entry.WhichOneof("entry") or "")
    return EntryResult(accepted=Accepted(event_id=message.event_id))
