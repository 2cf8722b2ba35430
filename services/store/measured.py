"""A RowStore that says how long its calls take and how many rows they are about."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from services.features.rows import Block, Row
from services.features.schema import View
from services.store.folding import read_block
from services.store.protocol import Key, RowStore

Note = Callable[[str, str, int, float], None]
"""Takes operation (read, write, delete), view, rows and seconds."""


class Measured:
    """Passes everything on to another store and notes every call, also one that fails.

    Args:
        store: does the storing.
        note: told of every call.
        clock: monotonic seconds.
    """

    def __init__(self, store: RowStore, note: Note, clock: Callable[[], float] = time.monotonic) -> None:
        self._store, self._note, self._clock = store, note, clock

    def read(self, view: View, keys: Sequence[Key]) -> list[Row | None]:
        """As the other store does."""
        with self._timed("read", view, keys):
            return self._store.read(view, keys)

    def read_block(self, view: View, keys: Sequence[Key]) -> Block:
        """As the other store does."""
        with self._timed("read", view, keys):
            return read_block(self._store, view, keys)

    def write(self, keys: Sequence[Key], block: Block) -> None:
        """As the other store does."""
        with self._timed("write", block.view, keys):
            self._store.write(keys, block)

    def delete(self, view: View, keys: Sequence[Key], position: Sequence[int]) -> None:
        """As the other store does."""
        with self._timed("delete", view, keys):
            self._store.delete(view, keys, position)

    @contextmanager
    def _timed(self, operation: str, view: View, keys: Sequence[Key]) -> Iterator[None]:
        begun_s = self._clock()
        try:
            yield
        finally:
            self._note(operation, view.name, len(keys), self._clock() - begun_s)
