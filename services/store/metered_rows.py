"""A RowStore that reports the duration and the number of rows of each call to another store."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from services.features.rows import Block
from services.features.schema import View
from services.store.protocol import Key, ReadRequest, RowStore

OnCall = Callable[[str, str, int, float], None]
"""Takes operation (read, write, delete), view, rows and seconds."""


class MeteredRowStore:
    """Forwards every call to another store and reports it, failed calls too.

    Args:
        store: performs the calls.
        on_call: called after every call; for a read once per view, with the duration of the whole read.
        clock: monotonic seconds.
    """

    def __init__(self, store: RowStore, on_call: OnCall, clock: Callable[[], float] = time.monotonic) -> None:
        self._store, self._on_call, self._clock = store, on_call, clock

    def read_blocks(self, requests: Sequence[ReadRequest]) -> list[Block]:
        """See `RowStore`."""
        with self._timed("read", requests):
            return self._store.read_blocks(requests)

    def write(self, keys: Sequence[Key], block: Block) -> None:
        """See `RowStore`."""
        with self._timed("write", [(block.view, keys)]):
            self._store.write(keys, block)

    def delete(self, view: View, keys: Sequence[Key], position: Sequence[int]) -> None:
        """See `RowStore`."""
        with self._timed("delete", [(view, keys)]):
            self._store.delete(view, keys, position)

    @contextmanager
    def _timed(self, operation: str, rows: Sequence[ReadRequest]) -> Iterator[None]:
        begun_s = self._clock()
        try:
            yield
        finally:
            seconds = self._clock() - begun_s
            for view, keys in rows:
                self._on_call(operation, view.name, len(keys), seconds)
