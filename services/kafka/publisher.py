"""The publisher protocol and its fake: records are sent, and their outcome is a future.

Knows nothing of entries or gRPC. A record counts as stored only when all in-sync replicas have confirmed it.
"""

import threading
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Protocol

from services.errors import Unavailable

Confirmation = Future[None]
"""Completes without error when a record is stored, with an error when that is not known."""


@dataclass(frozen=True)
class OutgoingRecord:
    """A record to publish.

    Args:
        topic: full topic name.
        key: record key.
        partition_key: hashed to choose the partition; records of equal keys go to one partition, in the order given.
        value: record value; None: a tombstone, the deletion of its key in a compacted topic.
        headers: record headers.
    """

    topic: str
    key: bytes
    partition_key: bytes
    value: bytes | None
    headers: list[tuple[str, bytes]]

    @property
    def size(self) -> int:
        """Bytes of key, value and headers."""
        headers = sum(len(name) + len(value) for name, value in self.headers)
        return len(self.key) + len(self.value or b"") + headers


class Publisher(Protocol):
    """Stores records asynchronously."""

    def send(self, records: Sequence[OutgoingRecord], timeout_s: float) -> list[Confirmation]:
        """Send the records in order; blocks at most about `timeout_s` seconds.

        Returns one confirmation per record; all of them complete eventually. A record whose confirmation fails may
        still be stored later, and sending it again may store it twice; but RecordTooLarge and StorageRefused (see
        `services.kafka.refusals`) mean that it is not stored, and will not be if it is sent again. After a record that
        could not be sent for another reason, the rest is not sent. Callbacks run on the publisher's thread and must not
        block.
        """
        ...

    def check(self, timeout_s: float) -> None:
        """Return if, as far as is known, records can be stored; raise the reason otherwise.

        Asks the brokers, for at most `timeout_s` seconds, only if no record was confirmed since the last check. To be
        called periodically: it also replaces a connection that broke while no records are sent.
        """
        ...

    def close(self, timeout_s: float) -> None:
        """Wait at most `timeout_s` seconds for records in flight, then close the connection."""
        ...


def all_completed(confirmations: Sequence[Confirmation]) -> Confirmation:
    """Completes, always without error, when all of them have."""
    completed, lock, left = Confirmation(), threading.Lock(), len(confirmations)

    def count_down(_: Confirmation) -> None:
        nonlocal left
        with lock:
            left -= 1
            last = not left
        if last:
            completed.set_result(None)

    if not confirmations:
        completed.set_result(None)
    for confirmation in confirmations:
        confirmation.add_done_callback(count_down)
    return completed


def combine(confirmations: Sequence[Confirmation]) -> Confirmation:
    """Completes when all of these have: without error if every one did, else with the first error in their order."""
    if len(confirmations) == 1:
        return confirmations[0]
    combined = Confirmation()

    def complete(_: Confirmation) -> None:
        errors = [error for error in (confirmation.exception() for confirmation in confirmations) if error is not None]
        if errors:
            combined.set_exception(errors[0])
        else:
            combined.set_result(None)

    all_completed(confirmations).add_done_callback(complete)
    return combined


def confirmation_error(confirmation: Confirmation) -> Exception | None:
    """None if the record is stored by now, else the reason why it may not be."""
    if not confirmation.done():
        return _LATE
    error = confirmation.exception()
    if error is not None and not isinstance(error, Exception):
        raise error
    return error


_LATE = TimeoutError("not confirmed in time")


def failed_confirmation(error: Exception) -> Confirmation:
    """The confirmation of a record that was not sent."""
    confirmation = Confirmation()
    confirmation.set_exception(error)
    return confirmation


@dataclass
class MemoryPublisher:
    """Stores records in memory; the fake.

    Args:
        failures: errors of the next records by position in their batch; the others succeed.
        holding: records are confirmed only by `release`, as if Kafka were slow.
    """

    failures: dict[int, Exception] = field(default_factory=dict)
    holding: bool = False
    stored: list[OutgoingRecord] = field(default_factory=list)
    closed: bool = False
    _held: list[tuple[OutgoingRecord, Confirmation]] = field(default_factory=list)
    _changed: threading.Condition = field(default_factory=threading.Condition)

    def send(self, records: Sequence[OutgoingRecord], timeout_s: float) -> list[Confirmation]:
        """Store the records without a failure, now or when released."""
        del timeout_s
        if self.closed:
            return [failed_confirmation(Unavailable("the publisher is closed")) for _ in records]
        confirmations = [self._begin(record, self.failures.get(number)) for number, record in enumerate(records)]
        if not self.holding:
            self.release()
        return confirmations

    def wait_for_held(self, count: int, timeout_s: float = 30.0) -> int:
        """The number of held records, once they are at least `count`, or after `timeout_s` seconds."""
        with self._changed:
            self._changed.wait_for(lambda: len(self._held) >= count, timeout_s)
            return len(self._held)

    def release(self, error: Exception | None = None) -> None:
        """Store the held records, or fail them with `error`."""
        with self._changed:
            held, self._held = self._held, []
            self.stored += [record for record, _ in held if error is None]
        for _, confirmation in held:
            if error:
                confirmation.set_exception(error)
            else:
                confirmation.set_result(None)

    def check(self, timeout_s: float) -> None:
        """Raise the error of the first record."""
        del timeout_s
        if self.closed:
            raise Unavailable("the publisher is closed")
        if 0 in self.failures:
            raise self.failures[0]

    def close(self, timeout_s: float) -> None:
        """Record that it was closed; held records are stored."""
        del timeout_s
        self.closed = True
        self.release()

    def _begin(self, record: OutgoingRecord, failure: Exception | None) -> Confirmation:
        if failure:
            return failed_confirmation(failure)
        confirmation = Confirmation()
        with self._changed:
            self._held.append((record, confirmation))
            self._changed.notify_all()
        return confirmation
