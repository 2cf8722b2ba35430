"""Back-pressure of the gateway: a budget of records that Kafka has not confirmed, and a rate limit per client.

Pure bookkeeping under a lock; knows nothing of gRPC or Kafka. The clock is an argument.
"""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass


class PendingBudget:
    """Bounds accepted but unconfirmed records, by bytes and by number.

    A batch larger than the whole budget is admitted when nothing else is pending; otherwise it never would be.

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

        `unless` ends the waiting early; call `wake` after it becomes true.
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
        """Records are confirmed or have failed."""
        with self._changed:
            self._bytes -= size
            self._records -= records
            self._changed.notify_all()

    def wake(self) -> None:
        """Let waiting calls of `take` check their `unless` again."""
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
    """Rate limits: a token bucket per client.

    A call for more events than a bucket holds is granted when the bucket is full; its tokens then become negative.
    Beyond `max_clients` the least recently seen clients are evicted; they start again with a full bucket.

    Args:
        events_per_s: events per second that a client may send on average; 0: no limit.
        burst: events that a client may send at once after a pause.
        max_clients: most clients with a bucket.
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
        self.limited = 0  # how often a client exceeded its rate

    def delay_s(self, client: str, events: int) -> float:
        """0 if `client` may send so many events now, and takes the tokens; else seconds until it may."""
        if not self.events_per_s:
            return 0.0
        with self._lock:
            bucket = self._refill(client)
            missing = min(events, self.burst) - bucket.tokens
            if missing > 0:
                self.limited += 1
                return missing / self.events_per_s
            bucket.tokens -= events
            return 0.0

    def __len__(self) -> int:
        """Clients with a bucket."""
        return len(self._buckets)

    def _refill(self, client: str) -> _Bucket:
        now_s = self._clock_s()
        bucket = self._buckets.setdefault(client, _Bucket(self.burst, now_s))
        self._buckets.move_to_end(client)
        if len(self._buckets) > self._max_clients:
            self._buckets.popitem(last=False)
        bucket.tokens = min(self.burst, bucket.tokens + (now_s - bucket.as_of_s) * self.events_per_s)
        bucket.as_of_s = now_s
        return bucket
