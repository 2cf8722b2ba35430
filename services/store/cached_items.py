"""A RowStore that remembers item rows for a while: events of a hot item need not read it again and again."""

import time
from collections.abc import Callable, Sequence

from services.features.rows import Block, Row, pack
from services.features.schema import View
from services.store.folding import read_block
from services.store.protocol import Key, RowStore


class CachedItems:
    """Passes everything on to another store, but answers reads of the view `item` from memory while it can.

    Unknown items are not remembered: they may be described at any moment.

    Args:
        store: does the storing.
        size: most rows remembered; when it is reached, the oldest half is forgotten.
        age_s: seconds until a row is read again.
        clock: monotonic seconds.
    """

    def __init__(self, store: RowStore, size: int, age_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._store, self._size, self._age_s, self._clock = store, size, age_s, clock
        self._rows: dict[Key, tuple[float, Row]] = {}

    def read(self, view: View, keys: Sequence[Key]) -> list[Row | None]:
        """The rows in the order of the keys; None where there is none."""
        if view.name != "item":
            return self._store.read(view, keys)
        now = self._clock()
        held = {key: self._rows[key] for key in keys if key in self._rows}
        fresh = {key: row for key, (read_at, row) in held.items() if now - read_at < self._age_s}
        missing = [key for key in dict.fromkeys(keys) if key not in fresh]
        for key, row in zip(missing, self._store.read(view, missing) if missing else [], strict=True):
            if row is not None:
                fresh[key] = row
                self._rows.pop(key, None)
                self._rows[key] = (now, row)
        self._forget()
        return [fresh.get(key) for key in keys]

    def read_block(self, view: View, keys: Sequence[Key]) -> Block:
        """The rows of `keys` side by side; missing ones hold defaults."""
        return pack(view, self.read(view, keys)) if view.name == "item" else read_block(self._store, view, keys)

    def write(self, keys: Sequence[Key], block: Block) -> None:
        """As the other store does; what is written is forgotten here."""
        self._drop(block.view, keys)
        self._store.write(keys, block)

    def delete(self, view: View, keys: Sequence[Key]) -> None:
        """As the other store does; what is deleted is forgotten here."""
        self._drop(view, keys)
        self._store.delete(view, keys)

    def _drop(self, view: View, keys: Sequence[Key]) -> None:
        if view.name == "item":
            for key in keys:
                self._rows.pop(key, None)

    def _forget(self) -> None:
        if len(self._rows) > self._size:
            # Dictionaries keep the order of insertion: the oldest reads come first.
            for key in list(self._rows)[: len(self._rows) // 2]:
                del self._rows[key]
