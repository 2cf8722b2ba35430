"""A RowStore that caches item rows for a while, so that events of a hot item do not read it again and again."""

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from services.features.rows import Block, Floats, Ints, default_column
from services.features.schema import View
from services.store.protocol import Key, ReadRequest, RowStore, existing_rows, read_block

ITEM_VIEW = "item"

_MISSING = 0
"""The slot of the row that was never written."""


class CachedItemRowStore:
    """Forwards every call to another store, but reads rows of the view `item` from memory while they are young.

    Unknown items are not cached: they may be described at any moment.

    Args:
        store: performs the calls.
        size: most rows cached; beyond it the older half is evicted.
        age_s: seconds until a row is read again.
        clock: monotonic seconds.
    """

    def __init__(self, store: RowStore, size: int, age_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._store, self._size, self._age_s, self._clock = store, size, age_s, clock
        self._items: _CachedRows | None = None

    def read_blocks(self, requests: Sequence[ReadRequest]) -> list[Block]:
        """See `RowStore`. Requests of other views share one round trip; missing or old items need another one."""
        forwarded = [request for request in requests if request[0].name != ITEM_VIEW]
        blocks = iter(self._store.read_blocks(forwarded) if forwarded else ())
        return [self._read_items(view, keys) if view.name == ITEM_VIEW else next(blocks) for view, keys in requests]

    def write(self, keys: Sequence[Key], block: Block) -> None:
        """See `RowStore`; written items leave the cache."""
        self._evict(block.view, keys)
        self._store.write(keys, block)

    def delete(self, view: View, keys: Sequence[Key], position: Sequence[int]) -> None:
        """See `RowStore`; deleted items leave the cache."""
        self._evict(view, keys)
        self._store.delete(view, keys, position)

    def _read_items(self, view: View, keys: Sequence[Key]) -> Block:
        items = self._items = self._items or _CachedRows(view)
        now_s = self._clock()
        slots = items.slots(keys, now_s - self._age_s)
        if (slots == _MISSING).any():
            missing = list(dict.fromkeys(key for key, slot in zip(keys, slots.tolist(), strict=True) if not slot))
            block = read_block(self._store, view, missing)
            items.evict(missing)
            items.add(missing, block, now_s)
            slots = items.slots(keys, -np.inf)
        result = items.take(slots)
        if len(items) > self._size:
            items.evict_older_half()
        return result

    def _evict(self, view: View, keys: Sequence[Key]) -> None:
        if view.name == ITEM_VIEW and self._items is not None:
            self._items.evict(keys)


class _CachedRows:
    """Rows of a view as columns, with the time at which each was read."""

    def __init__(self, view: View) -> None:
        self._view = view
        self._slots: dict[Key, int] = {}
        self._read_s: Floats = np.full(1, -np.inf)
        self._columns: dict[str, Any] = {feature.name: default_column(feature, 1) for feature in view.features}

    def __len__(self) -> int:
        return len(self._read_s) - 1

    def slots(self, keys: Sequence[Key], since_s: float) -> Ints:
        """The slot of each key; _MISSING if it is not cached, or was read at `since_s` or before."""
        known = self._slots
        slots = np.array([known.get(key, _MISSING) for key in keys], np.int64)
        return np.where(self._read_s[slots] > since_s, slots, _MISSING)

    def take(self, slots: Ints) -> Block:
        """The rows in these slots."""
        return Block(self._view, len(slots), {name: column[slots] for name, column in self._columns.items()}, {})

    def add(self, keys: Sequence[Key], block: Block, read_s: float) -> None:
        """Cache those of the rows that exist."""
        exists = np.flatnonzero(existing_rows(block))
        first = len(self._read_s)
        self._slots.update((keys[row], first + number) for number, row in enumerate(exists.tolist()))
        self._read_s = np.r_[self._read_s, np.full(len(exists), read_s)]
        for name, column in self._columns.items():
            self._columns[name] = np.concatenate([column, block.fixed[name][exists]])

    def evict(self, keys: Sequence[Key]) -> None:
        """Make the rows unknown; their slots are freed by `evict_older_half`."""
        for key in keys:
            self._slots.pop(key, None)

    def evict_older_half(self) -> None:
        """Keep the newer half of the rows, and of those only slots that no later read has replaced."""
        kept = np.array(sorted(self._slots.values())[len(self._slots) // 2 :], np.int64)
        moved = {slot: number for number, slot in enumerate(kept.tolist(), start=1)}
        self._slots = {key: moved[slot] for key, slot in self._slots.items() if slot in moved}
        kept = np.r_[_MISSING, kept]
        self._read_s = self._read_s[kept]
        self._columns = {name: column[kept] for name, column in self._columns.items()}
