"""Which requests are let in, and when it is a request's turn to be worked on.

Room is a limit that follows the waiting (`limit.py`); turns are handed out in order of arrival, interactive before
batch. Safe between threads; knows no gRPC.
"""

import random
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from services.errors import DeadlinePassed, Overloaded
from services.ranking.admission.concurrency_limit import WaitLimit
from services.ranking.admission.priority import Priority

BATCH_SHARE = 0.5
"""Batch requests are let in while less than this share of the limit is taken, by whomever."""

RETRY_AFTER_S = {Priority.INTERACTIVE: 0.1, Priority.BATCH: 1.0}
"""What who is refused is told to wait on average, seconds: each between half and one and a half of it, by chance, so
that those who were refused together do not come back together."""

HOPELESS = 0.5
"""A waiting request is given up when its time left is less than this share of what rankings took of late: not all
are of one size."""

SMOOTHING = 0.1
"""Weight of the newest ranking in the average of what they take."""


class _Waiting:
    """A request that waits for its turn."""

    def __init__(self) -> None:
        self.signal = threading.Lock()
        self.signal.acquire()
        self.granted = False


class Admission:
    """Room and turns.

    Args:
        turns: requests worked on at once.
        limit: requests in the server at once.
        clock: monotonic seconds.
        chance: uniform in [0, 1).
    """

    def __init__(
        self,
        turns: int,
        limit: WaitLimit,
        clock: Callable[[], float] = time.monotonic,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._free, self._limit, self._clock, self._chance = turns, limit, clock, chance
        self._lock = threading.Lock()
        self._inside = 0
        self._waiting: dict[Priority, deque[_Waiting]] = {priority: deque() for priority in Priority}
        self._takes_s = 0.0
        self.refused = dict.fromkeys(Priority, 0)  # requests so far that found no room

    @property
    def limit(self) -> int:
        """Requests that may be inside at once now."""
        return self._limit.limit

    @property
    def inside(self) -> int:
        """Requests that wait for their turn or have it."""
        return self._inside

    @contextmanager
    def turn(self, priority: Priority, time_left_s: float) -> Iterator[None]:
        """Wait for the turn and hold it meanwhile.

        Raises Overloaded if there is no room, DeadlinePassed if what is left of the time cannot suffice any more;
        a request that need not wait is always worked on.
        """
        waiting = self._enter(priority, time_left_s)
        if waiting:
            self._wait(waiting, priority, time_left_s)
        begun_s = self._clock()
        try:
            yield
        finally:
            self._leave(begun_s)

    def _enter(self, priority: Priority, time_left_s: float) -> _Waiting | None:
        """Take room, and the turn if one is free; otherwise what to wait for."""
        with self._lock:
            limit = self._limit.limit
            if self._inside >= (limit if priority is Priority.INTERACTIVE else max(1, int(BATCH_SHARE * limit))):
                self._refuse(priority)
            self._inside += 1
            if self._free:
                self._free -= 1
                self._limit.waited(0.0, time_left_s, self._clock())
                return None
            waiting = _Waiting()
            self._waiting[priority].append(waiting)
            return waiting

    def _refuse(self, priority: Priority) -> None:
        self.refused[priority] += 1
        if priority is Priority.INTERACTIVE:
            self._limit.refused()
        after_s = RETRY_AFTER_S[priority] * (0.5 + self._chance())
        text = f"{self._inside} requests are being ranked already, too many for another {priority.value} one"
        raise Overloaded(f"{text}; try again later", after_s)

    def _wait(self, waiting: _Waiting, priority: Priority, time_left_s: float) -> None:
        begun_s = self._clock()
        patience_s = max(0.0, time_left_s - HOPELESS * self._takes_s)
        granted = waiting.signal.acquire(timeout=min(patience_s, threading.TIMEOUT_MAX))
        with self._lock:
            now_s = self._clock()
            self._limit.waited(now_s - begun_s, time_left_s, now_s)
            if granted or waiting.granted:  # perhaps at the last moment
                return
            self._waiting[priority].remove(waiting)
            self._inside -= 1
        raise DeadlinePassed("the deadline was too near when the request still waited for its turn")

    def _leave(self, begun_s: float) -> None:
        with self._lock:
            self._inside -= 1
            self._takes_s += SMOOTHING * (self._clock() - begun_s - self._takes_s)
            line = self._waiting[Priority.INTERACTIVE] or self._waiting[Priority.BATCH]
            if not line:
                self._free += 1
                return
            waiting = line.popleft()
            waiting.granted = True
            waiting.signal.release()
