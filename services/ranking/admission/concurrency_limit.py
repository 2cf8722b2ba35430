"""How many requests may be in the server at once, found from how long they wait.

Additive increase, multiplicative decrease (Chiu and Jain, 1989) on a standing queue. The signal is CoDel's (Nichols
and Jacobson, 2012; RFC 8289): even the shortest wait within an interval is longer than a target. A burst that is
worked off within an interval is none; a queue that stays is. Limits that work on round-trip times (TCP Vegas,
Netflix's Gradient2) have to guess from them how much of it is queueing, and under lasting overload take the queue for
the new normal; a server that hands out the turns itself measures the waiting. By Little's law the limit settles near
turns + target * requests per second, whatever a request costs.

Numbers in, numbers out: knows no requests, threads or clocks.
"""

DECREASE, MOST_DECREASE = 0.9, 0.5
"""What is left of the limit after an interval with a standing queue: down to a half where it is much too long."""


DEADLINE_SHARE = 0.25
"""Share of its time that a request may wait, where that is less than the target: there is work to do in the rest."""


class WaitLimit:
    """The limit, told of every wait that came to an end. Not safe between threads.

    Args:
        turns: requests worked on at once; the limit is never lower than one more.
        most: the limit is never higher, and starts here.
        target_s: the shortest wait of an interval may be this long.
        interval_s: seconds over which the shortest wait is looked for.
    """

    def __init__(self, turns: int, most: int, target_s: float = 0.05, interval_s: float = 0.1) -> None:
        self._least, self._most = float(min(turns + 1, most)), float(most)
        self._target_s, self._interval_s = target_s, interval_s
        self._limit = float(most)
        self._ends_s = 0.0
        self._shortest, self._full = float("inf"), False

    @property
    def limit(self) -> int:
        """Requests that may be in the server at once."""
        return int(self._limit)

    def waited(self, wait_s: float, time_s: float, now_s: float) -> None:
        """A request that had `time_s` until its deadline waited for `wait_s`, in vain or not.

        `now_s` is from a clock that never goes back.
        """
        allowed_s = min(self._target_s, DEADLINE_SHARE * time_s)
        self._shortest = min(self._shortest, wait_s / allowed_s if allowed_s > 0 else float("inf"))
        if now_s >= self._ends_s:
            self._adjust()
            self._ends_s = now_s + self._interval_s

    def refused(self) -> None:
        """A request found no room: without that a higher limit would change nothing."""
        self._full = True

    def _adjust(self) -> None:
        if self._shortest > 1:
            self._limit = max(self._least, self._limit * min(DECREASE, max(MOST_DECREASE, 1 / self._shortest)))
        elif self._full:
            self._limit = min(self._most, self._limit + 1)
        self._shortest, self._full = float("inf"), False
