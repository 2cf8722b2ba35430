"""The state of the worker processes, and the decisions that follow: which to start and drain, whether to be ready.

Numbers in, decisions out: starts and stops no process. The clock is an argument. Updated by one thread, read by others.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterable
from enum import Enum

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from services.server.metrics_endpoint import HealthReport

FIRST_PAUSE_S = 0.1
MAX_PAUSE_S = 10.0
"""Pause before a new worker after one that died before it was ready, seconds: the first, doubled up to this bound."""

CRASH_LOOP = 3
"""Consecutive workers that died before they were ready: the next one is likely to fail, too."""


class WorkerState(Enum):
    """The state of a worker."""

    STARTING = "starting"
    READY = "ready"
    STUCK = "stuck"
    DRAINING = "draining"


class WorkerPool:
    """The workers by process id.

    A worker that was ready is replaced at once when it dies; workers that die earlier are replaced with growing pauses.

    Args:
        target: number of workers that should be ready.
        clock: monotonic seconds.
    """

    def __init__(self, target: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.target, self.clock = target, clock
        self._workers: dict[int, WorkerState] = {}
        self._to_replace: list[int] = []
        self._crashes, self._not_before_s, self.stopping = 0, 0.0, False
        self._last_death, self._last_stuck = "", ""
        self.deaths = 0

    def on_started(self, pid: int) -> None:
        """A worker has been started, and loads."""
        self._workers[pid] = WorkerState.STARTING

    def on_ready(self, pid: int) -> None:
        """A worker serves."""
        self._workers[pid] = WorkerState.READY
        self._crashes, self._not_before_s = 0, 0.0

    def on_stuck(self, pid: int, reason: str) -> None:
        """A worker that was ready does not serve any more; it may again."""
        if self._workers.get(pid) is WorkerState.READY:
            self._workers[pid], self._last_stuck = WorkerState.STUCK, reason

    def on_draining(self, pid: int) -> None:
        """A worker has been asked to finish its requests and end."""
        self._workers[pid] = WorkerState.DRAINING
        self._to_replace = [old for old in self._to_replace if old != pid]

    def on_exit(self, pid: int, reason: str) -> WorkerState:
        """A worker has ended; returns the state that it was in."""
        state = self._workers.pop(pid)
        self._to_replace = [old for old in self._to_replace if old != pid]
        if state is not WorkerState.DRAINING:
            self.deaths += 1
            self._last_death = reason
        if state is WorkerState.STARTING:
            self._to_replace = []  # new workers do not start: keep the old ones
            self._not_before_s = self.clock() + min(FIRST_PAUSE_S * 2**self._crashes, MAX_PAUSE_S)
            self._crashes += 1
        return state

    def replace_all(self) -> None:
        """Replace the workers one after another: each new one is ready before an old one drains."""
        self._to_replace = self._in(WorkerState.READY, WorkerState.STUCK)

    def stop(self) -> None:
        """No worker is started any more."""
        self.stopping = True

    @property
    def crash_loop(self) -> bool:
        """Whether workers keep dying before they are ready."""
        return self._crashes >= CRASH_LOOP

    @property
    def replacing(self) -> int:
        """Workers that are still to be replaced."""
        return len(self._to_replace)

    def workers_to_start(self) -> int:
        """Number of workers to start now."""
        if self.stopping or self.clock() < self._not_before_s:
            return 0
        extra = bool(self._to_replace) and not self._in(WorkerState.DRAINING)
        running = self._in(WorkerState.STARTING, WorkerState.READY, WorkerState.STUCK)
        return max(0, self.target + extra - len(running))

    def next_start_s(self) -> float:
        """Seconds until starting is allowed again."""
        return max(0.0, self._not_before_s - self.clock())

    def worker_to_drain(self) -> int | None:
        """A worker to drain now, because a newer one is ready in its place; None if there is none."""
        served = self._in(WorkerState.READY, WorkerState.STUCK)
        if self._to_replace and not self._in(WorkerState.STARTING) and len(served) > self.target:
            return self._to_replace[0]
        return None

    def counts(self) -> dict[WorkerState, int]:
        """Workers by state."""
        counted = Counter(list(self._workers.values()))
        return {state: counted[state] for state in WorkerState}

    def collect(self) -> Iterable[Metric]:
        """The metrics, as of now (a prometheus_client collector)."""
        gauge = GaugeMetricFamily("crossrec_ranking_workers", "Worker processes by state.", labels=("state",))
        for state, number in self.counts().items():
            gauge.add_metric((state.value,), number)
        yield gauge
        text = "Worker processes that ended without being asked to."
        yield CounterMetricFamily("crossrec_ranking_worker_deaths", text, value=self.deaths)

    def live(self) -> HealthReport:
        """Always live: the process that responds is the one that starts workers."""
        return HealthReport(ok=True, reasons=[], details={})

    def ready(self) -> HealthReport:
        """Ready if any worker is ready; the reasons list problems in either case."""
        counts = self.counts()
        reasons = [] if counts[WorkerState.READY] else ["no worker is ready"]
        if counts[WorkerState.STUCK]:
            reasons.append(f"{counts[WorkerState.STUCK]} of the workers stuck: {self._last_stuck}")
        if self.crash_loop:
            reasons.append(f"the last {self._crashes} workers died before they were ready: {self._last_death}")
        if self.stopping:
            reasons.append("stopping")
        details = {"workers_wanted": self.target, "worker_deaths": self.deaths}
        details |= {f"workers_{state.value}": number for state, number in counts.items()}
        return HealthReport(bool(counts[WorkerState.READY]) and not self.stopping, reasons, details)

    def _in(self, *states: WorkerState) -> list[int]:
        return [pid for pid, state in list(self._workers.items()) if state in states]
