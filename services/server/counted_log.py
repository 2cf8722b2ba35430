"""A warning that counts what happens too often for a line each: the first at once, then at most one line a minute."""

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable

from services.server.logging import log_event

LOG_INTERVAL_S = 60.0
"""The first occurrence is logged at once, later ones together, once per interval, seconds."""


class CountedLog:
    """Logs counts of what happened, at most one line per interval. Thread-safe.

    Args:
        event: name of the event.
        logger: logs it, with the field `counts`.
        clock_s: monotonic seconds.
    """

    def __init__(self, event: str, logger: logging.Logger, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._event, self._logger, self._clock_s = event, logger, clock_s
        self._lock, self._counts = threading.Lock(), Counter[str]()
        self._next_s = float("-inf")

    def count(self, what: str) -> None:
        """Count an occurrence, and log the counts if it is time."""
        with self._lock:
            self._counts[what] += 1
            if self._clock_s() < self._next_s:
                return
            counts, self._counts = self._counts, Counter()
            self._next_s = self._clock_s() + LOG_INTERVAL_S
        log_event(self._logger, self._event, level=logging.WARNING, counts=dict(counts))
