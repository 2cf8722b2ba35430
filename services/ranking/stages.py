"""When each stage of a request ended: one list per request, from which metrics, traces and logs are made."""

import time
from collections.abc import Callable, Iterator

WAIT = "wait"
"""The stage before the others: waiting for the turn."""


class Stages:
    """The stages of a request, which follow each other without gaps.

    Args:
        clock: monotonic seconds.
    """

    __slots__ = ("_clock", "_ends", "begun_s")

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock, self._ends, self.begun_s = clock, list[tuple[str, float]](), clock()

    def end(self, name: str) -> None:
        """A stage ends, and the next one begins."""
        self._ends.append((name, self._clock()))

    def __iter__(self) -> Iterator[tuple[str, float, float]]:
        """Name, start and end of each stage that has ended, in order; seconds of the clock."""
        start_s = self.begun_s
        for name, end_s in self._ends:
            yield name, start_s, end_s
            start_s = end_s
