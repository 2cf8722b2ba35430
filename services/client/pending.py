"""State of a publish stream: the requests without an answer, and the backoff of reconnecting.

Pure; knows neither threads nor event loops.
"""

import random
import time
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from crossrec.events.v1.events_pb2 import Entry, PublishStreamRequest, PublishStreamResponse

from .errors import CallFailed, ResourceExhausted, ServiceUnavailable

F = TypeVar("F")

MIN_BACKOFF_S, MAX_BACKOFF_S = 0.1, 2.0


class PendingRequests(Generic[F]):
    """Requests without an answer, in the order in which they were published, each with the future of its answer.

    Args:
        window: most entries without an answer; a larger request fits only when no other is pending.
    """

    def __init__(self, window: int) -> None:
        self._window, self._entries, self._last = window, 0, 0
        self._requests: dict[int, tuple[PublishStreamRequest, F]] = {}

    def __len__(self) -> int:
        """Requests without an answer."""
        return len(self._requests)

    def has_room(self, entries: int) -> bool:
        """Whether so many more entries fit into the window."""
        return not self._entries or self._entries + entries <= self._window

    def add(self, entries: Sequence[Entry], future: F) -> None:
        """Add a new request."""
        self._last += 1
        self._entries += len(entries)
        self._requests[self._last] = PublishStreamRequest(sequence=self._last, entries=entries), future

    def after(self, sequence: int) -> PublishStreamRequest | None:
        """The oldest pending request after `sequence`, or None; a reopened stream begins after 0."""
        begin = max(sequence + 1, next(iter(self._requests), self._last + 1))
        found = (self._requests.get(number) for number in range(begin, self._last + 1))
        return next((request for request, _ in filter(None, found)), None)

    def pop_answered(self, response: PublishStreamResponse) -> F | None:
        """Remove the request of an answer; returns its future, None if it was answered before."""
        request, future = self._requests.pop(response.sequence, (None, None))
        self._entries -= len(request.entries) if request else 0
        return future

    def pop_all(self) -> list[F]:
        """Remove all requests; returns their futures."""
        futures = [future for _, future in self._requests.values()]
        self._requests.clear()
        self._entries = 0
        return futures


class ReconnectBackoff:
    """When a failed stream is reopened, and for how long.

    Args:
        reconnect_timeout_s: how long to retry after the first failure without an answer since, seconds.
        clock_s: monotonic seconds.
        chance: uniform in [0, 1).
    """

    def __init__(
        self,
        reconnect_timeout_s: float,
        clock_s: Callable[[], float] = time.monotonic,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._timeout_s, self._clock_s, self._chance = reconnect_timeout_s, clock_s, chance
        self._since_s: float | None = None
        self._pause_s = MIN_BACKOFF_S

    def reset(self) -> None:
        """Start over, after an answer."""
        self._since_s, self._pause_s = None, MIN_BACKOFF_S

    def pause_s(self, failure: CallFailed) -> float:
        """How long to wait after a failure, seconds; raises it if it cannot be retried, or the timeout has passed."""
        now_s = self._clock_s()
        self._since_s = now_s if self._since_s is None else self._since_s
        if not isinstance(failure, ServiceUnavailable | ResourceExhausted) or now_s - self._since_s >= self._timeout_s:
            raise failure
        if failure.retry_after_s is not None:
            return failure.retry_after_s
        pause_s, self._pause_s = self._pause_s, min(2 * self._pause_s, MAX_BACKOFF_S)
        return pause_s * (0.5 + self._chance())
