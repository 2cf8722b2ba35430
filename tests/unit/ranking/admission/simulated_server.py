"""A simulated server with a number of slots under random arrivals, to test the limit."""

import heapq
import random
from collections import deque
from dataclasses import dataclass, field

from services.ranking.admission.concurrency_limit import ConcurrencyLimit


@dataclass
class Outcome:
    """Outcomes of the requests of a phase; seconds of simulated time."""

    good: int = 0
    rejected: int = 0
    lost: int = 0
    late: int = 0
    waits_s: list[float] = field(default_factory=list)


class SimulatedServer:
    """Serves in order of arrival; a request is dropped if its deadline passes before it gets a slot.

    Args:
        limit: the limit under test.
        slots: requests served at once.
        seed: of arrivals and service times.
    """

    def __init__(self, limit: ConcurrencyLimit, slots: int, seed: int = 0) -> None:
        self._limit, self._free, self._chance = limit, slots, random.Random(seed)
        self._queue: deque[float] = deque()
        self._ends: list[tuple[float, float]] = []
        self._admitted, self.now_s = 0, 0.0

    def run(self, seconds: float, per_s: float, takes_s: float, deadline_s: float = 1.0) -> Outcome:
        """Simulate a phase with `per_s` arrivals per second and a mean service time of `takes_s` (both exponential)."""
        outcome, until_s = Outcome(), self.now_s + seconds
        while (arrives_s := self.now_s + self._chance.expovariate(per_s)) < until_s:
            self._work_until(arrives_s, takes_s, deadline_s, outcome)
            self.now_s = arrives_s
            self._arrive(takes_s, deadline_s, outcome)
        return outcome

    def _arrive(self, takes_s: float, deadline_s: float, outcome: Outcome) -> None:
        if self._admitted >= self._limit.limit:
            self._limit.on_rejection()
            outcome.rejected += 1
            return
        self._admitted += 1
        self._queue.append(self.now_s)
        if self._free:
            self._begin(self.now_s, takes_s, deadline_s, outcome)

    def _begin(self, now_s: float, takes_s: float, deadline_s: float, outcome: Outcome) -> None:
        arrived_s = self._queue.popleft()
        self._free -= 1
        self._limit.on_wait(now_s - arrived_s, deadline_s, now_s)
        outcome.waits_s.append(now_s - arrived_s)
        heapq.heappush(self._ends, (now_s + self._chance.expovariate(1 / takes_s), arrived_s))

    def _work_until(self, until_s: float, takes_s: float, deadline_s: float, outcome: Outcome) -> None:
        while self._ends and self._ends[0][0] <= until_s:
            now_s, arrived_s = heapq.heappop(self._ends)
            in_time = now_s - arrived_s <= deadline_s
            outcome.good, outcome.late = outcome.good + in_time, outcome.late + (not in_time)
            self._free, self._admitted = self._free + 1, self._admitted - 1
            while self._queue and now_s - self._queue[0] > deadline_s:
                self._limit.on_wait(now_s - self._queue.popleft(), deadline_s, now_s)
                self._admitted -= 1
                outcome.lost += 1
            if self._queue:
                self._begin(now_s, takes_s, deadline_s, outcome)
