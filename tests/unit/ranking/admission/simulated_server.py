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
    refused: int = 0
    lost: int = 0
    late: int = 0
    waits_s: list[float] = field(default_factory=list)


class SimulatedServer:
    """First come, first served; requests have a deadline, and are dropped when it passes before they get a slot.

    Args:
        limit: the limit under test.
        turns: requests served at once.
        seed: of the arrivals and of how long a request takes.
    """

    def __init__(self, limit: ConcurrencyLimit, slots: int, seed: int = 0) -> None:
        self._limit, self._free, self._chance = limit, slots, random.Random(seed)
        self._line: deque[float] = deque()
        self._ends: list[tuple[float, float]] = []
        self._inside, self.now_s = 0, 0.0

    def run(self, seconds: float, per_s: float, takes_s: float, deadline_s: float = 1.0) -> Outcome:
        """A phase of so many arrivals per second, each of which takes `takes_s` on average (exponential)."""
        outcome, until_s = Outcome(), self.now_s + seconds
        while (arrives_s := self.now_s + self._chance.expovariate(per_s)) < until_s:
            self._work_until(arrives_s, takes_s, deadline_s, outcome)
            self.now_s = arrives_s
            self._arrive(takes_s, deadline_s, outcome)
        return outcome

    def _arrive(self, takes_s: float, deadline_s: float, outcome: Outcome) -> None:
        if self._inside >= self._limit.limit:
            self._limit.on_rejection()
            outcome.refused += 1
            return
        self._inside += 1
        self._line.append(self.now_s)
        if self._free:
            self._begin(self.now_s, takes_s, deadline_s, outcome)

    def _begin(self, now_s: float, takes_s: float, deadline_s: float, outcome: Outcome) -> None:
        came_s = self._line.popleft()
        self._free -= 1
        self._limit.on_wait(now_s - came_s, deadline_s, now_s)
        outcome.waits_s.append(now_s - came_s)
        heapq.heappush(self._ends, (now_s + self._chance.expovariate(1 / takes_s), came_s))

    def _work_until(self, until_s: float, takes_s: float, deadline_s: float, outcome: Outcome) -> None:
        while self._ends and self._ends[0][0] <= until_s:
            now_s, came_s = heapq.heappop(self._ends)
            in_time = now_s - came_s <= deadline_s
            outcome.good, outcome.late = outcome.good + in_time, outcome.late + (not in_time)
            self._free, self._inside = self._free + 1, self._inside - 1
            while self._line and now_s - self._line[0] > deadline_s:
                self._limit.on_wait(now_s - self._line.popleft(), deadline_s, now_s)
                self._inside -= 1
                outcome.lost += 1
            if self._line:
                self._begin(now_s, takes_s, deadline_s, outcome)
