"""Users' last known rows, for when the store is slow or unavailable.

Bounded in bytes and in age. Rows that the store has deleted are removed with the next read, and after the age in any
case: an erased user may be answered from here for that long, while the store cannot be read.
"""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class LastKnownRows(Generic[T]):
    """Rows by user; when full, the rows that were put first are evicted. Safe between threads.

    Args:
        max_age_s: older rows are not returned; 0: no rows are kept.
        max_bytes: of all rows together, about.
        clock: monotonic seconds.
    """

    def __init__(self, max_age_s: float, max_bytes: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._max_age_s, self._max_bytes, self._clock = max_age_s, max_bytes, clock
        self._lock = threading.Lock()
        self._kept: OrderedDict[str, tuple[T, tuple[str, ...], float, int]] = OrderedDict()
        self._bytes = 0

    def __len__(self) -> int:
        """Users whose rows are kept."""
        return len(self._kept)

    def put(self, user_id: str, scenarios: tuple[str, ...], rows: T, size: int) -> None:
        """Keep rows of `size` bytes that were just read, for these scenarios."""
        if not self._max_age_s:
            return
        with self._lock:
            self._evict(user_id)
            self._kept[user_id] = rows, scenarios, self._clock(), size
            self._bytes += size
            while self._bytes > self._max_bytes:
                self._evict(next(iter(self._kept)))

    def remove(self, user_id: str) -> None:
        """Remove the rows of a user that the store does not have."""
        if user_id in self._kept:
            with self._lock:
                self._evict(user_id)

    def get(self, user_id: str, scenarios: tuple[str, ...]) -> tuple[T, float] | None:
        """The rows and their age, seconds; None if there are none, they are too old or for other scenarios."""
        with self._lock:
            kept = self._kept.get(user_id)
        if kept is None or kept[1] != scenarios:
            return None
        age_s = self._clock() - kept[2]
        return (kept[0], age_s) if age_s <= self._max_age_s else None

    def _evict(self, user_id: str) -> None:
        kept = self._kept.pop(user_id, None)
        if kept is not None:
            self._bytes -= kept[3]
