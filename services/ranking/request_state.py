"""What is collected while one request is ranked: when its stages ended, and why its answer is degraded.

A stage costs well below a microsecond to note. Knows neither metrics nor traces: both are made from `steps` when the
answer is ready.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from crossrec.ranking.v1 import ranking_pb2 as pb

WAIT_STAGE = "wait"
"""The stage before all others: waiting for a slot."""


class StageTimings:
    """The stages of a request, one after the other without gaps: `end("hydrate")` ends the stage that runs now.

    Args:
        clock_ns: monotonic nanoseconds.

    `steps` holds (stage, begin, end) in nanoseconds of the clock, `notes` describe the request as a whole: numbers and
    versions, never ids of users or items, or texts.
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


@dataclass
class Degradations:
    """The reasons for which an answer is degraded, each once."""

    reasons: list[pb.Degradation] = field(default_factory=list)

    def add(self, reason: pb.DegradationReason, detail: str, items: int = 0) -> None:
        """Add a reason, unless it was added before."""
        if all(known.reason != reason for known in self.reasons):
            self.reasons.append(pb.Degradation(reason=reason, detail=detail, item_count=items))
