"""How long the stages of one request took: noted while it is ranked, told afterwards.

Costs well below a microsecond a stage. Knows neither metrics nor traces; both are made of `steps` when the answer is
there.
"""

import time
from collections.abc import Callable

WAIT = "wait"
"""The stage before the others: waiting for the turn."""


class Stages:
    """The stages of a request, one after the other without gaps: `end("hydrate")` ends that which began last.

    Args:
        clock_ns: monotonic nanoseconds.

    `steps` holds (stage, begin, end) in nanoseconds of the clock, `notes` what is worth telling of the request as a
    whole: numbers and versions, never ids of users or items, or texts.
    """

    __slots__ = ("_begun_ns", "_clock_ns", "notes", "steps")

    def __init__(self, clock_ns: Callable[[], int] = time.perf_counter_ns) -> None:
        self._clock_ns, self._begun_ns = clock_ns, clock_ns()
        self.steps: list[tuple[str, int, int]] = []
        self.notes: dict[str, str | int] = {}

    def end(self, stage: str) -> None:
        """The stage ends now, and the next begins."""
        now_ns = self._clock_ns()
        self.steps.append((stage, self._begun_ns, now_ns))
        self._begun_ns = now_ns

    def note(self, model: str, candidates: int, sources: int) -> None:
        """Version of the model, number of candidates and of source scenarios."""
        self.notes = {
            "crossrec.model.version": model,
            "crossrec.candidates": candidates,
            "crossrec.sources": sources,
        }
