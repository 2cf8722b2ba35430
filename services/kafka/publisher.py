"""Storing records: one verb, whose outcome comes later; the protocol and a fake.

Knows nothing of entries or gRPC. A record counts as stored only when it is confirmed on all in-sync replicas.
"""

import threading
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Protocol

from services.errors import Unavailable

Confirmation = Future[None]
"""Ends without error when a record is stored, with one when that is not known."""


@dataclass(frozen=True)
class OutgoingRecord:
    """A record to store.

    Args:
        topic: full topic name.
        key: record key.
        partition_key: what is hashed for the partition; equal keys go to one partition in the order given.
        value: record value.
        headers: record headers.
    """

    topic: str
    key: bytes
    partition_key: bytes
    value: bytes
    headers: list[tuple[str, bytes]]


class Publisher(Protocol):
    """Stores records."""

    def send(self, records: Sequence[OutgoingRecord], timeout_s: float) -> list[Confirmation]:
        """Begin to store the records, in order; wait at most about `timeout_s` seconds for that beginning.

        Returns one confirmation per record. All end, by and by; a record whose confirmation fails may still be
        stored later, and sending it again may store it twice. After a record that could not be sent the rest is
        not sent. Callbacks run on the publisher's thread and must not wait for anything.
        """
        ...

    def check(self, timeout_s: float) -> None:
        """Return if records can be stored as far as is known; raise what speaks against it.

        Asks at most `timeout_s` seconds, and only if no record was confirmed since the last check. To be called
        from time to time: it also replaces a connection that has died while nobody sends.
        """
        ...

    def close(self, timeout_s: float) -> None:
        """Wait at most `timeout_s` seconds for records on their way, then let go of the connection."""
        ...


def all_known(confirmations: Sequence[Confirmation]) -> Confirmation:
    """Ends, always without error, when all of them have ended."""
    known, lock, left = Confirmation(), threading.Lock(), len(confirmations)

    def one_known(_: Confirmation) -> None:
        nonlocal left
        with lock:
            left -= 1
            last = not left
        if last:
            known.set_result(None)

    if not confirmations:
        known.set_result(None)
    for confirmation in confirmations:
        confirmation.add_done_callback(one_known)
    return known


def all_stored(confirmations: Sequence[Confirmation]) -> Confirmation:
    """Ends when all of these have ended: without error if every one did, else with the first one's in their order."""
    if len(confirmations) == 1:
        return confirmations[0]
    stored = Confirmation()

    def settle(_: Confirmation) -> None:
        errors = [error for error in (confirmation.exception() for confirmation in confirmations) if error is not None]
        if errors:
            stored.set_exception(errors[0])
        else:
            stored.set_result(None)

    all_known(confirmations).add_done_callback(settle)
    return stored


def outcome(confirmation: Confirmation) -> Exception | None:
    """What is known by now: None if the record is stored, else why it may not be."""
    if not confirmation.done():
        return _LATE
    error = confirmation.exception()
    if error is not None and not isinstance(error, Exception):
        raise error
    return error


_LATE = TimeoutError("not confirmed in time")


def failed(error: Exception) -> Confirmation:
    """The confirmation of a record that was not sent."""
    confirmation = Confirmation()
    confirmation.set_exception(error)
    return confirmation


@dataclass
class MemoryPublisher:
    """Keeps records in memory; the fake.

    Args:
        failures: outcomes of the coming records by position in their batch; the rest succeed.
        holding: records are confirmed only by `release`, as if Kafka were slow.
    """

    failures: dict[int, Exception] = field(default_factory=dict)
    holding: bool = False
    stored: list[OutgoingRecord] = field(default_factory=list)
    closed: bool = False
    _held: list[tuple[OutgoingRecord, Confirmation]] = field(default_factory=list)
    _changed: threading.Condition = field(default_factory=threading.Condition)

    def send(self, records: Sequence[OutgoingRecord], timeout_s: float) -> list[Confirmation]:
        """Append the records that are not told to fail, now or when released."""
        del timeout_s
        if self.closed:
            return [failed(Unavailable("the publisher is closed")) for _ in records]
        confirmations = [self._begun(record, self.failures.get(place)) for place, record in enumerate(records)]
        if not self.holding:
            self.release()
        return confirmations

    def held(self, count: int, timeout_s: float = 30.0) -> int:
        """How many records are held, once they are at least `count`, or after `timeout_s` seconds."""
        with self._changed:
            self._changed.wait_for(lambda: len(self._held) >= count, timeout_s)
            return len(self._held)

    def release(self, error: Exception | None = None) -> None:
        """Store what is held, or fail it."""
        with self._changed:
            held, self._held = self._held, []
            self.stored += [record for record, _ in held if error is None]
        for _, confirmation in held:
            if error:
                confirmation.set_exception(error)
            else:
                confirmation.set_result(None)

    def check(self, timeout_s: float) -> None:
        """Raise what the first record would fail with."""
        del timeout_s
        if self.closed:
            raise Unavailable("the publisher is closed")
        if 0 in self.failures:
            raise self.failures[0]

    def close(self, timeout_s: float) -> None:
        """Remember that it was closed; what is held is stored."""
        del timeout_s
        self.closed = True
        self.release()

    def _begun(self, record: OutgoingRecord, failure: Exception | None) -> Confirmation:
        if failure:
            return failed(failure)
        confirmation = Confirmation()
        with self._changed:
            self._held.append((record, confirmation))
            self._changed.notify_all()
        return confirmation
