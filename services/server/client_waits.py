"""Bounds what waits for clients: threads that read a call's message, and calls whose answer is not taken yet.

A client that sends nothing, or takes nothing, keeps a thread or memory of the server. Such waits have a time limit.
When there are too many, those of clients that have sent nothing yet end first, among these one of the client that has
most. Knows no gRPC.
"""

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from services.errors import Overloaded
from services.server.counted_log import CountedLog

MOST_PROVEN = 10_000
"""Clients remembered because a wait for them ended well; the earliest is forgotten."""

PROVEN_GRACE = 10
"""How many times as long as others a client of whom one ended well keeps a wait, before one of a new client."""

CHECK_INTERVAL_S = 0.25
"""Seconds between searches for waits beyond their limit."""

RETRY_AFTER_S = 0.5
"""Retry delay of a call for whose wait there is no room, seconds."""


@dataclass(frozen=True)
class WaitLimits:
    """Limits of waits for clients.

    Args:
        most: waits at once.
        timeout_s: seconds after which a wait ends.
        grace_s: seconds that a wait lasts at least, unless its client has clearly more waits than another that asks.
        most_queued: threads that may wait for room; more are rejected at once.
        patience_s: seconds for which a thread waits for room.
    """

    most: int
    timeout_s: float
    grace_s: float = 0.1
    most_queued: int = 64
    patience_s: float = 1.0


@dataclass(eq=False, slots=True)
class ClientWait:
    """A wait that has begun.

    Args:
        client: who is waited for.
        cancel: ends the call; safe from any thread, at any time.
        since_s: when it began, monotonic seconds.
    """

    client: str
    cancel: Callable[[], object]
    since_s: float


class ClientWaits:
    """The waits of one kind. Thread-safe.

    Args:
        limits: see `WaitLimits`.
        cancelled: counts the calls that it ends for the log; their reason is `kind`, or `kind, crowded`.
        kind: what is waited for, for the log.
        clock_s: monotonic seconds.
    """

    def __init__(
        self, limits: WaitLimits, kind: str, cancelled: CountedLog, clock_s: Callable[[], float] = time.monotonic
    ) -> None:
        self._limits, self._kind, self._cancelled, self._clock_s = limits, kind, cancelled, clock_s
        self._lock = threading.Lock()
        self._room = threading.Condition(self._lock)
        self._waits: dict[ClientWait, None] = {}  # the oldest first
        self._counts = Counter[str]()
        self._proven: dict[str, None] = {}  # the earliest first
        self._queued = 0
        self._watched = False

    def __len__(self) -> int:
        """Waits now."""
        return len(self._waits)

    @contextmanager
    def wait(self, client: str, cancel: Callable[[], object]) -> Iterator[None]:
        """Wait for `client` inside the block; `cancel` ends its call if the wait has to end."""
        wait = self.begin(client, cancel)
        try:
            yield
        finally:
            self.end(wait)

    def begin_in_turn(self, client: str, cancel: Callable[[], object]) -> ClientWait:
        """`begin`, once there is room. Raises Overloaded if none comes within the patience."""
        if len(self._waits) >= self._limits.most:
            self._make_room(client)
        return self.begin(client, cancel)

    def begin(self, client: str, cancel: Callable[[], object]) -> ClientWait:
        """Begin a wait whether there is room or not; where there is none, an older one ends if one may."""
        wait = ClientWait(client, cancel, self._clock_s())
        with self._lock:
            victim = self._victim(client) if len(self._waits) >= self._limits.most else None
            if victim is not None:
                self._remove(victim)
                self._proven.pop(victim.client, None)
            self._waits[wait] = None
            self._counts[client] += 1
            if not self._watched:
                self._watched = True
                threading.Thread(target=self._watch, name=f"waits-{self._kind}", daemon=True).start()
        if victim is not None:
            self._end_call(victim, crowded=True)
        return wait

    def next_message(self, requests: Iterator[bytes], client: str, cancel: Callable[[], object]) -> bytes | None:
        """The next message of a call, waited for in turn; None: there is none. Raises Overloaded."""
        data, wait = None, self.begin_in_turn(client, cancel)
        try:
            data = next(requests, None)
        finally:
            self.end(wait, well=data is not None)
        return data

    def end(self, wait: ClientWait, *, well: bool = False) -> None:
        """The client has done what it had to (`well`), or its call is over."""
        with self._lock:
            if self._remove(wait) and well and wait.client not in self._proven:
                if len(self._proven) >= MOST_PROVEN:
                    del self._proven[next(iter(self._proven))]
                self._proven[wait.client] = None

    def end_overdue(self) -> bool:
        """End the calls of waits that are over their limit; False once there are no waits."""
        with self._lock:
            before_s = self._clock_s() - self._limits.timeout_s
            overdue = []
            for wait in self._waits:
                if wait.since_s > before_s:
                    break
                overdue.append(wait)
            for wait in overdue:
                self._remove(wait)
                self._proven.pop(wait.client, None)
            self._watched = bool(self._waits)
            remains = self._watched
        for wait in overdue:
            self._end_call(wait, crowded=False)
        return remains

    def _make_room(self, client: str) -> None:
        with self._lock:
            if self._queued < self._limits.most_queued:
                self._queued += 1
                until_s = self._clock_s() + self._limits.patience_s
                try:
                    while self._is_full_for(client) and (left_s := until_s - self._clock_s()) > 0:
                        self._room.wait(min(left_s, self._limits.grace_s))
                finally:
                    self._queued -= 1
            if not self._is_full_for(client):
                return
        self._cancelled.count(f"{self._kind}, rejected")
        raise Overloaded(f"the server waits for the {self._kind} of too many calls", RETRY_AFTER_S)

    def _is_full_for(self, client: str) -> bool:
        return len(self._waits) >= self._limits.most and self._victim(client) is None

    def _victim(self, client: str) -> ClientWait | None:
        """The wait that ends so that one of `client` may begin; None if none may end.

        The oldest of who has most, among new clients if there are any.
        """
        heaviest = max(self._counts, key=lambda other: (other not in self._proven, self._counts[other]))
        oldest = next(wait for wait in self._waits if wait.client == heaviest)
        is_new, asks_new = heaviest not in self._proven, client not in self._proven
        if is_new == asks_new and self._counts[heaviest] >= self._counts[client] + 2:
            return oldest
        grace_s = self._limits.grace_s * (PROVEN_GRACE if asks_new and not is_new else 1)
        gives_way = (is_new and not asks_new) or self._clock_s() - oldest.since_s >= grace_s
        return oldest if gives_way else None

    def _remove(self, wait: ClientWait) -> bool:
        """Whether the wait was still there, and not ended for another reason."""
        if wait not in self._waits:
            return False
        del self._waits[wait]
        self._counts[wait.client] -= 1
        if not self._counts[wait.client]:
            del self._counts[wait.client]
        if self._queued:
            self._room.notify()
        return True

    def _end_call(self, wait: ClientWait, *, crowded: bool) -> None:
        self._cancelled.count(f"{self._kind}, crowded" if crowded else self._kind)
        wait.cancel()

    def _watch(self) -> None:
        while self.end_overdue():
            threading.Event().wait(CHECK_INTERVAL_S)


def cancelled_calls_log() -> CountedLog:
    """The log of calls that were ended because of their clients."""
    return CountedLog("calls_cancelled", logging.getLogger(__name__))
