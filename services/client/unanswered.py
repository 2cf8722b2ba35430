"""What a stream must remember: which requests have no answer, and how long a gateway that is away is tried again.

Pure; knows neither threads nor event loops.
"""

import random
import time
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from crossrec.events.v1.events_pb2 import Entry, PublishStreamRequest, PublishStreamResponse

from .errors import CallFailed, Overloaded, Unavailable

F = TypeVar("F")

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.1, 2.0


class Unanswered(Generic[F]):
    """Requests in the order in which they were published, each with who waits for its answer.

    Args:
        window: entries without an answer; there is no room for more, unless there are none at all.
    """

    def __init__(self, window: int) -> None:
        self._window, self._entries, self._last = window, 0, 0
        self._requests: dict[int, tuple[PublishStreamRequest, F]] = {}

    def __len__(self) -> int:
        """Requests without an answer."""
        return len(self._requests)

    def has_room(self, entries: int) -> bool:
        """Whether so many more entries are within the window."""
        return not self._entries or self._entries + entries <= self._window

    def add(self, entries: Sequence[Entry], waiting: F) -> None:
        """Remember a new request."""
        self._last += 1
        self._entries += len(entries)
        self._requests[self._last] = PublishStreamRequest(sequence=self._last, entries=entries), waiting

    def after(self, sequence: int) -> PublishStreamRequest | None:
        """The oldest request without an answer behind `sequence`; a stream that is opened anew begins behind 0."""
        begin = max(sequence + 1, next(iter(self._requests), self._last + 1))
        found = (self._requests.get(number) for number in range(begin, self._last + 1))
        return next((request for request, _ in filter(None, found)), None)

    def answered(self, response: PublishStreamResponse) -> F | None:
        """Forget the request of an answer; who waits for it, None if that is known already."""
        request, waiting = self._requests.pop(response.sequence, (None, None))
        self._entries -= len(request.entries) if request else 0
        return waiting

    def give_up(self) -> list[F]:
        """Forget all; who waits."""
        waiting = [waiting for _, waiting in self._requests.values()]
        self._requests.clear()
        self._entries = 0
        return waiting


class Patience:
    """How often and how long a stream is opened again.

    Args:
        patience_s: seconds since the first failure without an answer in between.
        clock_s: monotonic seconds.
        chance: uniform in [0, 1).
    """

    def __init__(
        self,
        patience_s: float,
        clock_s: Callable[[], float] = time.monotonic,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._patience_s, self._clock_s, self._chance = patience_s, clock_s, chance
        self._since_s: float | None = None
        self._pause_s = FIRST_PAUSE_S

    def restore(self) -> None:
        """There was an answer."""
        self._since_s, self._pause_s = None, FIRST_PAUSE_S

    def pause_s(self, failure: CallFailed) -> float:
        """How long to wait after a failure, seconds; raises it if trying again is no use, or no more."""
        now_s = self._clock_s()
        self._since_s = now_s if self._since_s is None else self._since_s
        if not isinstance(failure, Unavailable | Overloaded) or now_s - self._since_s >= self._patience_s:
            raise failure
        if failure.retry_after_s is not None:
            return failure.retry_after_s
        pause_s, self._pause_s = self._pause_s, min(2 * self._pause_s, LONGEST_PAUSE_S)
        return pause_s * (0.5 + self._chance())
