"""Statistics of a run: counts by outcome and latencies, per step and per second; merged over client processes.

Knows no clock, no channel and no results.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Self

from services.load.latencies import Latencies

OK, DEADLINE_EXCEEDED = "OK", "DEADLINE_EXCEEDED"
TIMED_CODES = frozenset({OK, DEADLINE_EXCEEDED})
"""Status codes whose latency counts.

A request that exceeded its deadline waited at least so long, and leaving it out would favour a slow server; an error
comes fast, and counting it would favour a failing one.
"""


@dataclass(frozen=True)
class AnswerInfo:
    """Facts in an answer: the model, the experiment's arm, the names of its `degraded` reasons."""

    model_version: str
    experiment_arm: str
    degraded: Sequence[str]


@dataclass(frozen=True)
class CallOutcome:
    """The outcome of one request; times in seconds of one clock.

    Args:
        due_s: when it was due.
        sent_s: when it was sent.
        done_s: when its answer or error arrived.
        code: name of the gRPC status code.
        answer: facts in the answer, for OK.
    """

    due_s: float
    sent_s: float
    done_s: float
    code: str
    answer: AnswerInfo | None = None


@dataclass
class StepStats:
    """Statistics of the requests of a step.

    Args:
        latency: from the time a request was due; see TIMED_CODES.
        service: likewise, from the time it was sent.
        lag: from due to sent, of all requests; caused by the client.
        codes: requests by the name of their gRPC status code.
        degraded: answers by reason; an answer may have several.
        models: answers by model version.
        arms: answers by arm of the experiment.
    """

    latency: Latencies = field(default_factory=Latencies)
    service: Latencies = field(default_factory=Latencies)
    lag: Latencies = field(default_factory=Latencies)
    codes: Counter[str] = field(default_factory=Counter)
    degraded: Counter[str] = field(default_factory=Counter)
    models: Counter[str] = field(default_factory=Counter)
    arms: Counter[str] = field(default_factory=Counter)

    def record(self, outcome: CallOutcome) -> None:
        """Count one request."""
        self.codes[outcome.code] += 1
        self.lag.record(outcome.sent_s - outcome.due_s)
        if outcome.code in TIMED_CODES:
            self.latency.record(outcome.done_s - outcome.due_s)
            self.service.record(outcome.done_s - outcome.sent_s)
        if outcome.answer:
            self.models[outcome.answer.model_version] += 1
            self.arms[outcome.answer.experiment_arm] += 1
            self.degraded.update(outcome.answer.degraded)

    def add(self, other: Self) -> None:
        """Add the statistics of `other`."""
        for name in ("latency", "service", "lag"):
            getattr(self, name).add(getattr(other, name))
        for name in ("codes", "degraded", "models", "arms"):
            getattr(self, name).update(getattr(other, name))


@dataclass
class Second:
    """Statistics of one second of a run.

    Args:
        offered: requests that were due in it.
        codes: requests that ended in it, by status code.
        latency: of the requests that were due in it; see TIMED_CODES.
    """

    offered: int = 0
    codes: Counter[str] = field(default_factory=Counter)
    latency: Latencies = field(default_factory=lambda: Latencies(digits=2))

    def add(self, other: Self) -> None:
        """Add the statistics of `other`."""
        self.offered += other.offered
        self.codes.update(other.codes)
        self.latency.add(other.latency)


@dataclass
class RunRecord:
    """Statistics of a run, from one client or merged.

    Args:
        steps: statistics per step, in order.
        seconds: by second since the run's beginning.
        busy_share: share of the time in which the client's event loop was busy; the highest of several clients.
        lasted_s: duration of each step, seconds; less than planned where the run was ended early.
    """

    steps: list[StepStats] = field(default_factory=list)
    seconds: dict[int, Second] = field(default_factory=dict)
    busy_share: float = 0.0
    lasted_s: list[float] = field(default_factory=list)

    def record(self, step: int, origin_s: float, outcome: CallOutcome) -> None:
        """Count one request of a step; `origin_s` is when the run began."""
        self.steps[step].record(outcome)
        due = self._second(outcome.due_s - origin_s)
        due.offered += 1
        if outcome.code in TIMED_CODES:
            due.latency.record(outcome.done_s - outcome.due_s)
        self._second(outcome.done_s - origin_s).codes[outcome.code] += 1

    def _second(self, since_s: float) -> Second:
        return self.seconds.setdefault(int(since_s), Second())

    def add(self, other: Self) -> None:
        """Add the record of another client of the same steps."""
        for mine, theirs in zip(self.steps, other.steps, strict=True):
            mine.add(theirs)
        self.add_seconds(other)
        self.lasted_s = [max(pair) for pair in zip(self.lasted_s, other.lasted_s, strict=True)]

    def append(self, other: Self) -> None:
        """Append the record of later steps."""
        self.steps += other.steps
        self.lasted_s += other.lasted_s
        self.add_seconds(other)

    def add_seconds(self, other: Self) -> None:
        """Add the other's seconds, and keep the higher busy share."""
        for number, second in other.seconds.items():
            self.seconds.setdefault(number, Second()).add(second)
        self.busy_share = max(self.busy_share, other.busy_share)
