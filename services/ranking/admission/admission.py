"""Admission control: which requests are accepted, and when an accepted request gets a slot to run in.

The number of accepted requests is bounded by a limit that adapts to queueing delay (`concurrency_limit.py`). Slots are
granted in order of arrival, interactive requests before batch requests. Safe between threads; knows no gRPC.
"""

import random
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from enum import Enum

from services.errors import DeadlinePassed, InvalidRequest, Overloaded
from services.ranking.admission.concurrency_limit import ConcurrencyLimit

PRIORITY = "x-crossrec-priority"
"""The metadata key of a request's priority."""


class Priority(Enum):
    """Interactive: a user waits for the answer. Batch: no user waits, so that it is rejected first."""

    INTERACTIVE = "interactive"
    BATCH = "batch"


BATCH_SHARE = 0.5
"""Batch requests are accepted while less than this share of the limit is used, by requests of either priority."""

RETRY_AFTER_S = {Priority.INTERACTIVE: 0.1, Priority.BATCH: 1.0}
"""Mean retry delay of a rejected request, seconds. Each delay is drawn uniformly from 0.5 to 1.5 times the mean, so
that requests that were rejected together are not retried together."""

MIN_TIME_SHARE = 0.5
"""A queued request is given up when its time left is less than this share of the mean ranking time: requests differ in
size."""

SMOOTHING = 0.1
"""Weight of the newest ranking in the mean ranking time."""


FAIR_LEAD = 2
"""By how many requests a client must lead another so that its newest queued one gives way to the other's."""


class _QueuedRequest:
    """A request of a client that waits for a slot."""

    def __init__(self, client: str) -> None:
        self.client = client
        self.signal = threading.Lock()
        self.signal.acquire()
        self.granted = self.displaced = False


class AdmissionController:
    """Accepts or rejects requests, and grants slots.

    Args:
        slots: requests that run at the same time.
        limit: requests in the server at the same time.
        clock: monotonic seconds.
        draw: a random number, uniform in [0, 1).
    """

    def __init__(
        self,
        slots: int,
        limit: ConcurrencyLimit,
        clock: Callable[[], float] = time.monotonic,
        draw: Callable[[], float] = random.random,
    ) -> None:
        self._free, self._limit, self._clock, self._draw = slots, limit, clock, draw
        self._lock = threading.Lock()
        self._admitted, self._by_client = 0, dict[str, int]()
        self._progress_s = clock()
        self._queues: dict[Priority, deque[_QueuedRequest]] = {priority: deque() for priority in Priority}
        self._mean_s = 0.0
        self.rejected = dict.fromkeys(Priority, 0)  # requests rejected so far

    @property
    def limit(self) -> int:
        """Requests that may be in the server at the same time now."""
        return self._limit.limit

    @property
    def admitted(self) -> int:
        """Requests that wait for a slot or hold one."""
        return self._admitted

    @property
    def stalled_s(self) -> float:
        """Seconds for which all slots have been held and none was given back; 0 while one is free."""
        with self._lock:
            return 0.0 if self._free else self._clock() - self._progress_s

    @contextmanager
    def admit(self, priority: Priority, time_left_s: float, client: str = "") -> Iterator[None]:
        """Wait for a slot and hold it.

        At the limit, a queued request of the client with most requests gives way to one of a client with clearly fewer.
        Raises Overloaded if the limit is reached, DeadlinePassed if the time left while waiting becomes too short. A
        request that finds a free slot always runs.
        """
        queued = self._enter(priority, time_left_s, client)
        if queued:
            self._wait(queued, priority, time_left_s)
        begun_s = self._clock()
        try:
            yield
        finally:
            self._leave(begun_s, client)

    def _enter(self, priority: Priority, time_left_s: float, client: str) -> _QueuedRequest | None:
        """Accept the request and take a free slot; without a free slot, the place in the queue."""
        with self._lock:
            limit = self._limit.limit
            if self._admitted >= (limit if priority is Priority.INTERACTIVE else max(1, int(BATCH_SHARE * limit))):
                displaced = self._displaceable(priority, client)
                if displaced is None:
                    raise self._rejection(priority)
                self._displace(displaced)
            self._count(client, 1)
            if self._free:
                self._free -= 1
                self._progress_s = self._clock()
                self._limit.on_wait(0.0, time_left_s, self._clock())
                return None
            queued = _QueuedRequest(client)
            self._queues[priority].append(queued)
            return queued

    def _count(self, client: str, requests: int) -> None:
        """Count requests of a client as admitted, or as no longer admitted."""
        self._admitted += requests
        count = self._by_client.get(client, 0) + requests
        if count:
            self._by_client[client] = count
        else:
            del self._by_client[client]

    def _displaceable(self, priority: Priority, client: str) -> tuple[Priority, _QueuedRequest] | None:
        """The newest queued request of the client with most requests, if it leads this one; none of higher priority."""
        most = max(self._by_client, key=self._by_client.__getitem__, default=client)
        if self._by_client.get(most, 0) < self._by_client.get(client, 0) + FAIR_LEAD:
            return None
        kinds = (Priority.BATCH, Priority.INTERACTIVE) if priority is Priority.INTERACTIVE else (Priority.BATCH,)
        newest = ((kind, queued) for kind in kinds for queued in reversed(self._queues[kind]) if queued.client == most)
        return next(newest, None)

    def _displace(self, found: tuple[Priority, _QueuedRequest]) -> None:
        kind, queued = found
        self._queues[kind].remove(queued)
        self._count(queued.client, -1)
        queued.displaced = True
        queued.signal.release()

    def _rejection(self, priority: Priority) -> Overloaded:
        self.rejected[priority] += 1
        if priority is Priority.INTERACTIVE:
            self._limit.on_rejection()
        after_s = RETRY_AFTER_S[priority] * (0.5 + self._draw())
        text = f"{self._admitted} requests are in progress, too many to accept another {priority.value} request"
        return Overloaded(f"{text}; retry later", after_s)

    def _wait(self, queued: _QueuedRequest, priority: Priority, time_left_s: float) -> None:
        begun_s = self._clock()
        longest_s = max(0.0, time_left_s - MIN_TIME_SHARE * self._mean_s)
        granted = queued.signal.acquire(timeout=min(longest_s, threading.TIMEOUT_MAX))
        with self._lock:
            now_s = self._clock()
            self._limit.on_wait(now_s - begun_s, time_left_s, now_s)
            if queued.displaced:
                raise self._rejection(priority)
            if granted or queued.granted:  # the slot may be granted just after the time-out
                return
            self._queues[priority].remove(queued)
            self._count(queued.client, -1)
        raise DeadlinePassed("the deadline was too near when the request still waited for a slot")

    def _leave(self, begun_s: float, client: str) -> None:
        with self._lock:
            self._count(client, -1)
            self._progress_s = self._clock()
            self._mean_s += SMOOTHING * (self._progress_s - begun_s - self._mean_s)
            queue = self._queues[Priority.INTERACTIVE] or self._queues[Priority.BATCH]
            if not queue:
                self._free += 1
                return
            queued = queue.popleft()
            queued.granted = True
            queued.signal.release()


def parse_priority(metadata: Iterable[tuple[str, str | bytes]]) -> Priority:
    """The priority in a call's metadata, interactive if there is none. Raises InvalidRequest for an unknown one."""
    for key, value in metadata:
        if key == PRIORITY:
            try:
                return Priority(value)
            except ValueError as error:
                known = ", ".join(priority.value for priority in Priority)
                raise InvalidRequest(PRIORITY, f"{value!r} is not one of {known}") from error
    return Priority.INTERACTIVE
