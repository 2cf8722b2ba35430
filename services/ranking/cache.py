"""Item rows in memory as columns: an array per feature, a slot per key, each slot with its time of reading.

Rows older than the bound, and rows never read, are read in one batch per view; when the store is away the last
known rows serve. Bounded: when full, the rows read longest ago leave.
"""

import threading
import time
from collections.abc import Callable, Sequence

import numpy as np

from services.features.rows import Block, default_column, default_of, pack
from services.features.schema import VARIABLE, View
from services.store.protocol import Key, RowStore, StoreUnavailable

NEVER = -np.inf
FIRST_ROWS = 1024


class ColumnCache:
    """The rows of one view, whose features all have fixed lengths.

    Args:
        store: where rows come from.
        view: the view.
        size: most rows held.
        age_s: seconds until a row is read again.
        clock: monotonic seconds.
    """

    def __init__(
        self, store: RowStore, view: View, size: int, age_s: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        if any(feature.length == VARIABLE for feature in view.features):
            raise ValueError(f"view {view.name} has features of variable length")
        self._store, self._view, self._size, self._age_s, self._clock = store, view, size, age_s, clock
        self._slots: dict[Key, int] = {}
        self._lock = threading.Lock()
        self._columns: dict[str, np.ndarray] = {}
        self._keys: list[Key] = []
        self._read_at, self._known, self._free = np.zeros(0), np.zeros(0, bool), list[int]()
        self._allocate(min(size, FIRST_ROWS))

    def rows(self, keys: Sequence[Key]) -> "Cached":
        """The rows of distinct keys; reads what is missing or old."""
        with self._lock:
            slots = self._slots_of(keys)
            now = self._clock()
            stale = np.flatnonzero(now - self._read_at[slots] > self._age_s)
            available = self._refresh([keys[place] for place in stale.tolist()], slots[stale]) if len(stale) else True
            columns = {name: column[slots] for name, column in self._columns.items()}
            ages = np.where(np.isfinite(self._read_at[slots]), self._clock() - self._read_at[slots], 0.0)
            return Cached(Block(self._view, len(keys), columns, {}), self._known[slots], ages, available)

    def _slots_of(self, keys: Sequence[Key]) -> np.ndarray:
        slots = [self._slots.get(key, -1) for key in keys]
        if -1 in slots:
            new = [key for key, slot in zip(keys, slots, strict=True) if slot < 0]
            self._make_room(len(new), keys)
            for key in new:
                slot = self._free.pop()
                self._slots[key], self._keys[slot] = slot, key
            slots = [self._slots[key] for key in keys]
        return np.array(slots, np.int64)

    def _refresh(self, keys: Sequence[Key], slots: np.ndarray) -> bool:
        try:
            rows = self._store.read(self._view, keys)
        except StoreUnavailable:
            return False
        block = pack(self._view, rows)
        for name, column in self._columns.items():
            column[slots] = block.fixed[name]
        self._known[slots] = [row is not None for row in rows]
        self._read_at[slots] = self._clock()
        return True

    def _make_room(self, count: int, wanted: Sequence[Key]) -> None:
        if len(self._free) >= count:
            return
        if len(self._read_at) < self._size:
            self._allocate(min(max(2 * len(self._read_at), len(self._slots) + count), self._size))
        if len(self._free) < count:
            self._evict(max(count, self._size // 10), wanted)
        if len(self._free) < count:
            # More keys in one request than the bound: hold them anyway, the next eviction takes them.
            self._allocate(len(self._slots) + count)

    def _evict(self, count: int, keep: Sequence[Key]) -> None:
        may_leave = np.ones(len(self._keys), bool)
        may_leave[self._free] = False
        may_leave[[self._slots[key] for key in keep if key in self._slots]] = False
        leaving = np.flatnonzero(may_leave)
        if count < len(leaving):
            leaving = leaving[np.argpartition(self._read_at[leaving], count)[:count]]
        for feature in self._view.features:
            self._columns[feature.name][leaving] = default_of(feature)
        self._read_at[leaving], self._known[leaving] = NEVER, False
        for slot in leaving.tolist():
            del self._slots[self._keys[slot]]
        self._free.extend(leaving.tolist())

    def _allocate(self, size: int) -> None:
        old, columns = len(self._read_at), {}
        for feature in self._view.features:
            column = default_column(feature, size)
            if old:
                column[:old] = self._columns[feature.name]
            columns[feature.name] = column
        read_at, known = np.full(size, NEVER), np.zeros(size, bool)
        if old:
            read_at[:old], known[:old] = self._read_at, self._known
        self._columns, self._read_at, self._known = columns, read_at, known
        self._keys.extend([()] * (size - old))
        self._free = [*range(size - 1, old - 1, -1), *self._free]


class Cached:
    """Rows as the cache gave them.

    Args:
        block: the rows, in the order of the keys.
        known: [R] whether the store has the row.
        age_s: [R] seconds since each row was read.
        available: whether the store could be read where it had to be.
    """

    def __init__(self, block: Block, known: np.ndarray, age_s: np.ndarray, available: bool) -> None:
        self.block, self.known, self.age_s, self.available = block, known, age_s, available
