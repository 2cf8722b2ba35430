"""What is known of the worker processes, and what follows from it: whom to start, whom to stop, whether it serves.

Numbers in, decisions out: starts and stops no process. The clock is an argument. Told by one thread, asked by others.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterable
from enum import Enum

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from services.server.metrics_endpoint import HealthReport

FIRST_PAUSE_S = 0.1
MAX_PAUSE_S = 10.0
"""Before a worker is started after one that died before it was ready: the first pause, doubled up to this bound."""

CRASH_LOOP = 3
"""Workers in a row that died before they were ready: the next one is not likely to fare better."""


class State(Enum):
    """Where a worker is in its life."""

    STARTING = "starting"
    READY = "ready"
    DRAINING = "draining"


class Fleet:
    """The workers by process id.

    A worker that was ready is replaced at once when it dies; those that die before are replaced more and more slowly.

    Args:
        wanted: how many workers should be ready.
        clock: monotonic seconds.
    """

    def __init__(self, wanted: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.wanted, self.clock = wanted, clock
        self._workers: dict[int, State] = {}
        self._to_replace: list[int] = []
        self._crashes, self._not_before_s, self.stopping = 0, 0.0, False
        self._last_death = ""
        self.deaths = 0

    def started(self, pid: int) -> None:
        """A worker begins to load."""
        self._workers[pid] = State.STARTING

    def became_ready(self, pid: int) -> None:
        """A worker serves."""
        self._workers[pid] = State.READY
        self._crashes, self._not_before_s = 0, 0.0

    def draining(self, pid: int) -> None:
        """A worker was told to finish what it has and end."""
        self._workers[pid] = State.DRAINING
        self._to_replace = [old for old in self._to_replace if old != pid]

    def gone(self, pid: int, reason: str) -> State:
        """A worker has ended; returns where it was in its life."""
        state = self._workers.pop(pid)
        self._to_replace = [old for old in self._to_replace if old != pid]
        if state is not State.DRAINING:
            self.deaths += 1
            self._last_death = reason
        if state is State.STARTING:
            self._to_replace = []  # what is new does not start: what is old goes on
            self._not_before_s = self.clock() + min(FIRST_PAUSE_S * 2**self._crashes, MAX_PAUSE_S)
            self._crashes += 1
        return state

    def replace_all(self) -> None:
        """Exchange the workers one after another: each new one is ready before its old one drains."""
        self._to_replace = self._in(State.READY)

    def stop(self) -> None:
        """Nobody is started any more."""
        self.stopping = True

    @property
    def crash_loop(self) -> bool:
        """Whether workers keep dying before they are ready."""
        return self._crashes >= CRASH_LOOP

    @property
    def replacing(self) -> int:
        """Workers that are still to be replaced."""
        return len(self._to_replace)

    def due(self) -> int:
        """How many workers to start now."""
        if self.stopping or self.clock() < self._not_before_s:
            return 0
        extra = bool(self._to_replace) and not self._in(State.DRAINING)
        return max(0, self.wanted + extra - len(self._in(State.STARTING, State.READY)))

    def next_start_s(self) -> float:
        """Seconds until starting is allowed again."""
        return max(0.0, self._not_before_s - self.clock())

    def to_drain(self) -> int | None:
        """A worker that is to drain now, because a newer one is ready in its place."""
        if self._to_replace and not self._in(State.STARTING) and len(self._in(State.READY)) > self.wanted:
            return self._to_replace[0]
        return None

    def counts(self) -> dict[State, int]:
        """Workers by state."""
        counted = Counter(list(self._workers.values()))
        return {state: counted[state] for state in State}

    def collect(self) -> Iterable[Metric]:
        """The metrics, as of now (the protocol of prometheus_client's collectors)."""
        gauge = GaugeMetricFamily("crossrec_ranking_workers", "Worker processes by where they are.", labels=("state",))
        for state, number in self.counts().items():
            gauge.add_metric((state.value,), number)
        yield gauge
        text = "Worker processes that ended without having been told to."
        yield CounterMetricFamily("crossrec_ranking_worker_deaths", text, value=self.deaths)

    def live(self) -> HealthReport:
        """The process that answers is the one that would start workers."""
        return HealthReport(ok=True, reasons=[], details={})

    def ready(self) -> HealthReport:
        """Whether requests are answered: some worker is ready. What is not as it should be is told in any case."""
        counts = self.counts()
        reasons = [] if counts[State.READY] else ["no worker is ready"]
        if self.crash_loop:
            reasons.append(f"the last {self._crashes} workers died before they were ready: {self._last_death}")
        if self.stopping:
            reasons.append("stopping")
        details = {"workers_wanted": self.wanted, "worker_deaths": self.deaths}
        details |= {f"workers_{state.value}": number for state, number in counts.items()}
        return HealthReport(bool(counts[State.READY]) and not self.stopping, reasons, details)

    def _in(self, *states: State) -> list[int]:
        return [pid for pid, state in list(self._workers.items()) if state in states]
