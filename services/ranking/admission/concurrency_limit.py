"""The limit of concurrent requests, adapted to their queueing delay.

Additive increase, multiplicative decrease (Chiu and Jain, 1989) on a standing queue. The signal is CoDel's (Nichols
and Jacobson, 2012; RFC 8289): even the shortest wait within an interval is longer than a target. A burst that is
worked off within an interval does not count; a queue that stays does. Limits that work on round-trip times (TCP Vegas,
Netflix's Gradient2) have to estimate from them how much of the time is queueing, and under lasting overload take the
queue for the new normal; a server that grants the slots itself measures the waiting. By Little's law the limit settles
near slots + target * requests per second, whatever a request costs.

Numbers in, numbers out: knows no requests, threads or clocks.
"""

DECREASE, MOST_DECREASE = 0.9, 0.5
"""Factor by which an interval with a standing queue reduces the limit: down to a half if the wait is much too long."""


DEADLINE_SHARE = 0.25
"""Share of a request's time that it may wait, where that is less than the target: the rest is for the ranking."""


class ConcurrencyLimit:
    """The limit, updated with every wait that ends. Not safe between threads.

    Args:
        slots: requests that run at the same time; the limit is at least one more.
        most: upper bound and first value of the limit.
        target_s: longest allowed value of the shortest wait of an interval, seconds.
        interval_s: seconds over which the shortest wait is determined.
    """

    def __init__(self, slots: int, most: int, target_s: float = 0.05, interval_s: float = 0.1) -> None:
        self._least, self._most = float(min(slots + 1, most)), float(most)
        self._target_s, self._interval_s = target_s, interval_s
        self._limit = float(most)
        self._ends_s = 0.0
        self._shortest, self._full = float("inf"), False

    @property
    def limit(self) -> int:
        """Requests that may be in the server at the same time."""
        return int(self._limit)

    def on_wait(self, wait_s: float, time_s: float, now_s: float) -> None:
        """A request that had `time_s` until its deadline waited for `wait_s`, whether it got a slot or not.

        `now_s` is from a monotonic clock.
        """
        allowed_s = min(self._target_s, DEADLINE_SHARE * time_s)
        self._shortest = min(self._shortest, wait_s / allowed_s if allowed_s > 0 else float("inf"))
        if now_s >= self._ends_s:
            self._adjust()
            self._ends_s = now_s + self._interval_s

    def on_rejection(self) -> None:
        """A request was rejected at the limit: without rejections a higher limit would change nothing."""
        self._full = True

    def _adjust(self) -> None:
        if self._shortest > 1:
            self._limit = max(self._least, self._limit * min(DECREASE, max(MOST_DECREASE, 1 / self._shortest)))
        elif self._full:
            self._limit = min(self._most, self._limit + 1)
        self._shortest, self._full = float("inf"), False
