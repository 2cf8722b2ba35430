"""A RowStore that remembers item rows for a while: events of a hot item need not read it again and again."""

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from services.features.rows import Block, Floats, Ints, Row, default_column
from services.features.schema import View
from services.store.folding import read_block
from services.store.protocol import Key, RowStore

_UNKNOWN = 0
"""The slot of the row that was never written."""


class CachedItems:
    """Passes everything on to another store, but answers blocks of the view `item` from memory while it can.

    Unknown items are not remembered: they may be described at any moment.

    Args:
        store: does the storing.
        size: most rows remembered; when it is reached, the oldest half is forgotten.
        age_s: seconds until a row is read again.
        clock: monotonic seconds.
    """

    def __init__(self, store: RowStore, size: int, age_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._store, self._size, self._age_s, self._clock = store, size, age_s, clock
        self._items: _Columns | None = None

    def read(self, view: View, keys: Sequence[Key]) -> list[Row | None]:
        """As the other store does."""
        return self._store.read(view, keys)

    def read_block(self, view: View, keys: Sequence[Key]) -> Block:
        """The rows of `keys` side by side; missing ones hold defaults."""
        if view.name != "item":
            return read_block(self._store, view, keys)
        items = self._items = self._items or _Columns(view)
        now_s = self._clock()
        slots = items.find(keys, now_s - self._age_s)
        if (slots == _UNKNOWN).any():
            missing = list(dict.fromkeys(key for key, slot in zip(keys, slots.tolist(), strict=True) if not slot))
            block = read_block(self._store, view, missing)
            items.drop(missing)
            items.add(missing, block, now_s)
            slots = items.find(keys, -np.inf)
        found = items.take(slots)
        if len(items) > self._size:
            items.forget_older_half()
        return found

    def write(self, keys: Sequence[Key], block: Block) -> None:
        """As the other store does; what is written is forgotten here."""
        self._drop(block.view, keys)
        self._store.write(keys, block)

    def delete(self, view: View, keys: Sequence[Key], position: Sequence[int]) -> None:
        """As the other store does; what is deleted is forgotten here."""
        self._drop(view, keys)
        self._store.delete(view, keys, position)

    def _drop(self, view: View, keys: Sequence[Key]) -> None:
        if view.name == "item" and self._items is not None:
            self._items.drop(keys)


class _Columns:
    """Rows of a view side by side, with the time at which each was read."""

    def __init__(self, view: View) -> None:
        self._view = view
        self._slots: dict[Key, int] = {}
        self._read_s: Floats = np.full(1, -np.inf)
        self._columns: dict[str, Any] = {feature.name: default_column(feature, 1) for feature in view.features}

    def __len__(self) -> int:
        return len(self._read_s) - 1

    def find(self, keys: Sequence[Key], since_s: float) -> Ints:
        """The slot of each key; _UNKNOWN if it is not here, or was read at `since_s` or before."""
        known = self._slots
        slots = np.array([known.get(key, _UNKNOWN) for key in keys], np.int64)
        return np.where(self._read_s[slots] > since_s, slots, _UNKNOWN)

    def take(self, slots: Ints) -> Block:
        """The rows in these slots."""
        return Block(self._view, len(slots), {name: column[slots] for name, column in self._columns.items()}, {})

    def add(self, keys: Sequence[Key], block: Block, read_s: float) -> None:
        """Keep those of the rows that exist; every row that was ever written names its schema."""
        there = np.flatnonzero(block.ints("schema"))
        first = len(self._read_s)
        self._slots.update((keys[row], first + number) for number, row in enumerate(there.tolist()))
        self._read_s = np.r_[self._read_s, np.full(len(there), read_s)]
        for name, column in self._columns.items():
            self._columns[name] = np.concatenate([column, block.fixed[name][there]])

    def drop(self, keys: Sequence[Key]) -> None:
        """Forget rows."""
        for key in keys:
            self._slots.pop(key, None)

    def forget_older_half(self) -> None:
        """Keep the newer half of the rows, and of those whose slots were not taken over by a later reading."""
        slots = np.array(sorted(self._slots.values())[len(self._slots) // 2 :], np.int64)
        place = {slot: number for number, slot in enumerate(slots.tolist(), start=1)}
        self._slots = {key: place[slot] for key, slot in self._slots.items() if slot in place}
        kept = np.r_[_UNKNOWN, slots]
        self._read_s = self._read_s[kept]
        self._columns = {name: column[kept] for name, column in self._columns.items()}
