"""A budget of the bytes of large requests that are worked on at once: parsed, they take a multiple of their size.

A client gets at most half of it, so that its requests leave room for those of others. Knows no gRPC.
"""

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from services.errors import Overloaded
from services.server.wire_count import SMALL_BYTES

RETRY_AFTER_S = 0.5
"""Retry delay of a request that does not fit, seconds."""


class ParsingBudget:
    """Counts the bytes of requests larger than `SMALL_BYTES`. Thread-safe.

    Args:
        max_request_bytes: size of the largest request; the budget is twice as large.
        patience_s: seconds for which a request waits for room.
    """

    def __init__(self, max_request_bytes: int, patience_s: float = 1.0) -> None:
        self._most, self._patience_s = 2 * max_request_bytes, patience_s
        self._changed = threading.Condition()
        self._used, self._by_client = 0, Counter[str]()

    @contextmanager
    def hold(self, client: str, size: int) -> Iterator[None]:
        """Hold room for a request of `size` bytes inside the block.

        Raises Overloaded if there is none, and none becomes free within the patience.
        """
        if size <= SMALL_BYTES:
            yield
            return
        with self._changed:
            if not self._changed.wait_for(lambda: self._fits(client, size), self._patience_s):
                raise Overloaded("too many bytes of large requests are worked on already", RETRY_AFTER_S)
            self._used += size
            self._by_client[client] += size
        try:
            yield
        finally:
            with self._changed:
                self._used -= size
                self._by_client[client] -= size
                if not self._by_client[client]:
                    del self._by_client[client]
                self._changed.notify_all()

    def _fits(self, client: str, size: int) -> bool:
        own = self._by_client.get(client, 0)
        return self._used + size <= self._most and own + size <= self._most // 2
