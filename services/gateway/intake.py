"""Intake of batches: validates entries, bounds what is pending, and publishes the accepted ones.

Shared by both RPCs; knows nothing of gRPC.
"""

import time
import uuid
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import wait
from dataclasses import dataclass
from itertools import islice
from typing import Protocol

from crossrec.events.v1.events_pb2 import Entry, EntryResult, Rejected, Unconfirmed
from services.errors import Overloaded, RequestError, StorageRefused, Unavailable
from services.gateway.batch import IntakeConfig, ValidatedBatch, validate_batch
from services.gateway.pressure import PendingBudget
from services.kafka.publisher import (
    Confirmation,
    Publisher,
    all_completed,
    combine,
    confirmation_error,
    failed_confirmation,
)
from services.kafka.refusals import RecordTooLarge
from services.server.security.caller import Scope

RETRY_AFTER_S = 1.0
"""Retry delay that callers receive while the gateway is full, seconds."""


class EntryObserver(Protocol):
    """Notified of the outcome of entries, by their types; must be quick and must not raise."""

    def on_rejected(self, types: Sequence[str]) -> None:
        """Entries of these types are invalid."""
        ...

    def on_completed(self, stored: Sequence[str], unconfirmed: Sequence[str], seconds: float) -> None:
        """The outcome of valid entries of these types is known, `seconds` after they were sent."""
        ...


class NullEntryObserver:
    """Ignores all outcomes."""

    def on_rejected(self, types: Sequence[str]) -> None:
        """Do nothing."""

    def on_completed(self, stored: Sequence[str], unconfirmed: Sequence[str], seconds: float) -> None:
        """Do nothing."""


@dataclass(frozen=True)
class Submission:
    """A validated batch whose records are being published.

    Args:
        results: results of validation.
        confirmations: per accepted entry, in order.
        completed: completes when all of these have.
    """

    results: list[EntryResult]
    confirmations: list[Confirmation]
    completed: Confirmation

    def failures(self, timeout_s: float) -> list[Exception]:
        """Errors of the accepted entries that failed, or are not confirmed after at most `timeout_s` seconds.

        Without those that the answer rejects: sending them again would not help.
        """
        wait([self.completed], max(0.0, timeout_s))
        found = map(confirmation_error, self.confirmations)
        return [error for error in found if error is not None and not isinstance(error, RecordTooLarge)]

    def confirm(self, timeout_s: float) -> None:
        """Return when all accepted entries are stored, or rejected as too large for their topics.

        Raises StorageRefused if Kafka refuses entries permanently, Unavailable if some are not confirmed in time.
        """
        failures = self.failures(timeout_s)
        if not failures:
            return
        what = f"{len(failures)} of {len(self.confirmations)} entries"
        if refusal := find_storage_refusal(failures):
            raise StorageRefused(f"{what} are not stored: {refusal}; send the batch again when that is done")
        reason = type(failures[0]).__name__
        raise Unavailable(f"Kafka has not confirmed {what} ({reason}); send the batch again with the same event ids")

    def refusal(self) -> StorageRefused | None:
        """Why Kafka refuses entries permanently, as far as is known now."""
        return find_storage_refusal(map(confirmation_error, self.confirmations))

    def answer(self) -> list[EntryResult]:
        """The result per entry as of now: accepted means stored."""
        confirmations = iter(self.confirmations)
        return [
            _confirm(result, confirmation_error(next(confirmations))) if result.HasField("accepted") else result
            for result in self.results
        ]


class Intake:
    """Validates and publishes batches.

    Args:
        publisher: stores records.
        config: see `IntakeConfig`.
        budget: bounds what is pending.
        now_s: the clock, seconds since 1970.
        make_id: makes unique event ids.
        observer: notified of the outcome of entries.
    """

    def __init__(
        self,
        publisher: Publisher,
        config: IntakeConfig,
        budget: PendingBudget,
        now_s: Callable[[], float] = time.time,
        make_id: Callable[[], str] = lambda: uuid.uuid4().hex,
        observer: EntryObserver | None = None,
    ) -> None:
        self.config, self.budget = config, budget
        self._observer = observer or NullEntryObserver()
        self._publisher = publisher
        self._now_s = now_s
        self._make_id = make_id

    def validate(self, entries: Sequence[Entry], scopes: frozenset[Scope]) -> ValidatedBatch:
        """Stamp and validate every entry by itself, for a caller with these scopes.

        InvalidRequest for a batch that is empty or too long.
        """
        batch = validate_batch(entries, self.config, scopes, self._now_s(), self._make_id)
        self._observer.on_rejected(batch.rejected_types)
        return batch

    def submit(self, batch: ValidatedBatch, timeout_s: float) -> Submission:
        """Begin to publish; Overloaded, and nothing is published, if the budget has no room now."""
        if not batch.records:
            return _submission(batch, [])
        if not self.budget.take(batch.size, len(batch.records)):
            raise Overloaded(
                "Kafka is slow or unavailable, and the gateway's budget of pending records is full; nothing was stored",
                RETRY_AFTER_S,
            )
        return self._publish(batch, timeout_s)

    def submit_when_room(self, batch: ValidatedBatch, timeout_s: float, unless: Callable[[], bool]) -> Submission:
        """Begin to publish when the budget has room; unconfirmed after `timeout_s` seconds, or if `unless` holds."""
        if not batch.records:
            return _submission(batch, [])
        if not self.budget.take(batch.size, len(batch.records), timeout_s, unless):
            full = Unavailable("Kafka is slow or unavailable, and the budget of pending records is full; not stored")
            return _submission(batch, [failed_confirmation(full) for _ in batch.records])
        return self._publish(batch, timeout_s)

    def _publish(self, batch: ValidatedBatch, timeout_s: float) -> Submission:
        begun_s = time.perf_counter()
        try:
            confirmations = self._publisher.send(batch.records, timeout_s)
        except BaseException:
            self.budget.give_back(batch.size, len(batch.records))
            raise
        submission = _submission(batch, confirmations)
        size, count, types = batch.size, len(batch.records), batch.types

        def complete(_: Confirmation) -> None:
            self.budget.give_back(size, count)
            self._report(types, submission.confirmations, time.perf_counter() - begun_s)

        submission.completed.add_done_callback(complete)
        return submission

    def _report(self, types: Sequence[str], confirmations: Sequence[Confirmation], seconds: float) -> None:
        found = list(zip(types, map(confirmation_error, confirmations), strict=True))
        too_large = [name for name, error in found if isinstance(error, RecordTooLarge)]
        stored = [name for name, error in found if error is None]
        unconfirmed = [name for name, error in found if error and not isinstance(error, RecordTooLarge)]
        if too_large:
            self._observer.on_rejected(too_large)
        self._observer.on_completed(stored, unconfirmed, seconds)


def _submission(batch: ValidatedBatch, confirmations: list[Confirmation]) -> Submission:
    if len(batch.record_counts) == len(confirmations):
        return Submission(batch.results, confirmations, all_completed(confirmations))
    each = iter(confirmations)
    per_entry = [combine(list(islice(each, count))) for count in batch.record_counts]
    return Submission(batch.results, per_entry, all_completed(per_entry))


def find_storage_refusal(errors: Iterable[Exception | None]) -> StorageRefused | None:
    """The first error that stays until an operator changes something."""
    return next((error for error in errors if isinstance(error, StorageRefused)), None)


def _confirm(accepted: EntryResult, error: Exception | None) -> EntryResult:
    if error is None:
        return accepted
    if isinstance(error, RecordTooLarge):
        return EntryResult(rejected=Rejected(field=error.field, reason=str(error)))
    # The client library's text is for the log, not for callers.
    reason = str(error) if isinstance(error, RequestError) else f"Kafka has not confirmed it ({type(error).__name__})"
    return EntryResult(unconfirmed=Unconfirmed(event_id=accepted.accepted.event_id, reason=reason))
