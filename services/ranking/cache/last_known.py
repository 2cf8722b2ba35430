"""What was last read of users, for when the store is slow or away.

Bounded in bytes and in age. What the store has forgotten is forgotten here with the next read, and after the age in
any case: a user who was erased may be answered from here for that long, while the store cannot be read.
"""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar

from services.features.rows import Block

T = TypeVar("T")


class LastKnown(Generic[T]):
    """Rows by user; when there is no room, those kept longest ago leave. Safe between threads.

    Args:
        max_age_s: rows kept longer ago are not given; 0: nothing is kept.
        max_bytes: of all rows together, about.
        clock: monotonic seconds.
    """

    def __init__(self, max_age_s: float, max_bytes: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._max_age_s, self._max_bytes, self._clock = max_age_s, max_bytes, clock
        self._lock = threading.Lock()
        self._kept: OrderedDict[str, tuple[T, tuple[str, ...], float, int]] = OrderedDict()
        self._bytes = 0

    def __len__(self) -> int:
        """Users of whom something is kept."""
        return len(self._kept)

    def keep(self, user_id: str, scenarios: tuple[str, ...], rows: T, size: int) -> None:
        """Rows of `size` bytes that were just read, which are about these scenarios."""
        if not self._max_age_s:
            return
        with self._lock:
            self._drop(user_id)
            self._kept[user_id] = rows, scenarios, self._clock(), size
            self._bytes += size
            while self._bytes > self._max_bytes:
                self._drop(next(iter(self._kept)))

    def forget(self, user_id: str) -> None:
        """The store has nothing of the user."""
        if user_id in self._kept:
            with self._lock:
                self._drop(user_id)

    def find(self, user_id: str, scenarios: tuple[str, ...]) -> tuple[T, float] | None:
        """The rows and their age, seconds; None if there are none, they are too old or about other scenarios."""
        with self._lock:
            kept = self._kept.get(user_id)
        if kept is None or kept[1] != scenarios:
            return None
        age_s = self._clock() - kept[2]
        return (kept[0], age_s) if age_s <= self._max_age_s else None

    def _drop(self, user_id: str) -> None:
        kept = self._kept.pop(user_id, None)
        if kept is not None:
            self._bytes -= kept[3]


def size_of(block: Block) -> int:
    """Bytes of the values of a block."""
    ragged = sum(part.values.nbytes + part.lengths.nbytes for part in block.ragged.values())
    return sum(column.nbytes for column in block.fixed.values()) + ragged
