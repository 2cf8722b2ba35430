"""What the gateway takes on: a bound on what Kafka has not confirmed yet, and a rate per client.

Pure bookkeeping under a lock; knows nothing of gRPC or Kafka. The clock is an argument.
"""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass


class PendingBudget:
    """Counts records that were accepted and are not confirmed, up to a number of bytes and of records.

    A batch larger than the whole budget is let in when nothing else is pending: it would never be otherwise.

    Args:
        max_bytes: most bytes pending.
        max_records: most records pending.
    """

    def __init__(self, max_bytes: int, max_records: int) -> None:
        self.max_bytes, self.max_records = max_bytes, max_records
        self._changed = threading.Condition()
        self._bytes = self._records = 0

    @property
    def pending(self) -> tuple[int, int]:
        """Bytes and records pending now."""
        with self._changed:
            return self._bytes, self._records

    def take(self, size: int, records: int, timeout_s: float = 0.0, unless: Callable[[], bool] | None = None) -> bool:
        """Count `records` of together `size` bytes as pending if there is room, within `timeout_s` seconds.

        `unless` ends the waiting early; who makes it true calls `wake`.
        """
        with self._changed:
            self._changed.wait_for(
                lambda: self._has_room(size, records) or (unless is not None and unless()), timeout_s
            )
            if not self._has_room(size, records):
                return False
            self._bytes += size
            self._records += records
            return True

    def give_back(self, size: int, records: int = 1) -> None:
        """Records are confirmed, or known to be on their way no longer."""
        with self._changed:
            self._bytes -= size
            self._records -= records
            self._changed.notify_all()

    def wake(self) -> None:
        """Have those who wait look at their `unless` again."""
        with self._changed:
            self._changed.notify_all()

    def _has_room(self, size: int, records: int) -> bool:
        fits = self._bytes + size <= self.max_bytes and self._records + records <= self.max_records
        return fits or not self._records


@dataclass
class _Bucket:
    tokens: float
    as_of_s: float


class RateLimits:
    """A token bucket per client.

    A call for more events than a bucket holds is granted when the bucket is full, and paid off afterwards. Of more
    clients than `max_clients` the longest unheard are forgotten; to them a full bucket is given when they return.

    Args:
        events_per_s: events that a client may send per second in the long run; 0: any number.
        burst: events that a client may send at once after a pause.
        max_clients: clients remembered.
        clock_s: the clock, seconds.
    """

    def __init__(
        self,
        events_per_s: float,
        burst: int,
        max_clients: int = 10_000,
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self.events_per_s, self.burst = events_per_s, burst
        self._max_clients = max_clients
        self._clock_s = clock_s
        self._lock = threading.Lock()
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()
        self.limited = 0  # times so far that a client was told to wait

    def delay_s(self, client: str, events: int) -> float:
        """0 if `client` may send so many events now, which takes them off; else how long it has to wait, seconds."""
        if not self.events_per_s:
            return 0.0
        with self._lock:
            bucket = self._refilled(client)
            missing = min(events, self.burst) - bucket.tokens
            if missing > 0:
                self.limited += 1
                return missing / self.events_per_s
            bucket.tokens -= events
            return 0.0

    def __len__(self) -> int:
        """Clients remembered."""
        return len(self._buckets)

    def _refilled(self, client: str) -> _Bucket:
        now_s = self._clock_s()
        bucket = self._buckets.setdefault(client, _Bucket(self.burst, now_s))
        self._buckets.move_to_end(client)
        if len(self._buckets) > self._max_clients:
            self._buckets.popitem(last=False)
        bucket.tokens = min(self.burst, bucket.tokens + (now_s - bucket.as_of_s) * self.events_per_s)
        bucket.as_of_s = now_s
        return bucket
