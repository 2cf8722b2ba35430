"""A RowStore that gives a store that is away a moment's rest: a circuit breaker.

Without it every read of every request waits out the time-out; with it one read per pause does, the others fail
at once and their requests are answered from what is known.
"""

import time
from collections.abc import Callable, Sequence

from services.features.rows import Block, Row
from services.features.schema import View
from services.store.folding import read_blocks
from services.store.protocol import Key, RowStore, StoreUnavailable


class Breaker:
    """Passes reads on to another store; after a failure it fails them itself for a while.

    Args:
        store: does the reading.
        pause_s: seconds until the store is tried again.
        clock: monotonic seconds.
    """

    def __init__(self, store: RowStore, pause_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._store, self._pause_s, self._clock = store, pause_s, clock
        self._closed_until = -float("inf")

    def read(self, view: View, keys: Sequence[Key]) -> list[Row | None]:
        """The rows in the order of the keys. Raises StoreUnavailable at once while the store rests."""
        if self._clock() < self._closed_until:
            raise StoreUnavailable("online store: not tried, it could not be read a moment ago")
        try:
            return self._store.read(view, keys)
        except StoreUnavailable:
            self._closed_until = self._clock() + self._pause_s
            raise

    def read_blocks(self, asked: Sequence[tuple[View, Sequence[Key]]]) -> list[Block]:
        """Rows of several views likewise."""
        if self._clock() < self._closed_until:
            raise StoreUnavailable("online store: not tried, it could not be read a moment ago")
        try:
            return read_blocks(self._store, asked)
        except StoreUnavailable:
            self._closed_until = self._clock() + self._pause_s
            raise

    def write(self, keys: Sequence[Key], block: Block) -> None:
        """As the other store does."""
        self._store.write(keys, block)

    def delete(self, view: View, keys: Sequence[Key], position: Sequence[int]) -> None:
        """As the other store does."""
        self._store.delete(view, keys, position)
