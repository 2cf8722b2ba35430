"""Item rows for requests: from memory while they are young enough, else from the store, in one batch.

A row older than the bound is read before it serves; what is called in the background (`note`, `reread`) sees to it that
this hardly ever happens. While the store is away the last known rows serve.
"""

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from services.features.rows import Block, Floats, Ints
from services.features.schema import Schema
from services.ranking.cache.item_table import FACET_VIEW, ITEM_VIEWS, NEVER, NOTHING, PAIR_VIEWS, UNKNOWN, ItemTable
from services.store.protocol import Key, ReadRequest, RowStore, StoreUnavailable, read_block

REMEMBERED_S = 30.0
"""Seconds for which changes are remembered: longer than any read takes."""


@dataclass(frozen=True)
class CachedItems:
    """What a request gets.

    Args:
        fields: those of Hydrated that are about items.
        known: [N] whether the store has the item.
        age_s: seconds since the oldest of the rows was known to be the store's.
        available: whether the store could be read where it had to be.
    """

    fields: dict[str, Any]
    known: np.ndarray
    age_s: float
    available: bool


class ItemCache:
    """Items, their facets, and their pairs with scenarios. Safe between threads.

    Args:
        store: where rows come from.
        schema: the feature schema.
        encoder: fingerprint of the trusted text encoder.
        size: most items held.
        age_s: seconds for which a row serves after it was read, or was last known to be unchanged.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        store: RowStore,
        schema: Schema,
        encoder: int,
        size: int,
        age_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store, self._schema, self._age_s, self._clock = store, schema, age_s, clock
        self._views = {name: schema[name] for name in (*ITEM_VIEWS, *PAIR_VIEWS, FACET_VIEW)}
        self._table, self._lock, self.size = ItemTable(schema, encoder, size), threading.Lock(), size
        self._changed_s: dict[str | int, float] = {}
        self._synced_s = NEVER
        self.hits = self.misses = 0  # items asked for so far that memory had, and that had to be read

    def __len__(self) -> int:
        return len(self._table)

    def rows(self, items: Sequence[str], scenarios: Sequence[str]) -> CachedItems:
        """The rows of distinct items in scenarios; reads what is missing or old."""
        with self._lock:
            slots, columns = self._table.slots(items), self._table.columns_of(scenarios)
            self._table.ask_for(np.maximum(slots, NOTHING), self._clock())
            stale = self._stale(slots)
            missing = int(np.count_nonzero(stale))
            self.hits, self.misses = self.hits + len(slots) - missing, self.misses + missing
            if not missing:
                return self._cached(slots, columns, available=True)
        available = self._try_read([items[place] for place in np.flatnonzero(stale).tolist()], scenarios, items)
        with self._lock:
            # Whoever was not read, or had to leave at once, is as one that the store does not have.
            slots = np.maximum(self._table.slots(items), NOTHING)
            self._table.ask_for(slots, self._clock())
            return self._cached(slots, columns, available=available)

    def read(self, items: Sequence[str], scenarios: Sequence[str], keep: Sequence[str] = ()) -> None:
        """Read items from the store, in two round trips: facets are known by their items. Raises StoreUnavailable.

        When there is no room, others than these and `keep` leave.
        """
        begun_s = self._clock()
        keys: list[Key] = [(item,) for item in items]
        pairs = [(item, scenario) for item in items for scenario in scenarios]
        requests: list[ReadRequest] = [
            *((self._views[name], keys) for name in ITEM_VIEWS),
            *((self._views[name], pairs) for name in PAIR_VIEWS),
        ]
        item, activity, pair, pair_activity = self._store.read_blocks(requests)
        distinct = np.unique(item.ints("facet_keys")).tolist()
        with self._lock:
            facets = self._table.unread_facets(distinct, self._soon_too_old())
        facet_block = self._read_facets(facets)
        with self._lock:
            self._table.put_facets(facets, facet_block, self._read_at(facets, begun_s))
            self._table.put_items(items, item, activity, self._read_at(items, begun_s), keep)
            self._table.put_pairs(pairs, pair, pair_activity)

    def note(self, items: Iterable[str], facets: Iterable[int]) -> None:
        """Rows of these have changed in the store: what is being read at this moment may be from before."""
        now_s = self._clock()
        with self._lock:
            self._changed_s = {key: s for key, s in self._changed_s.items() if s > now_s - REMEMBERED_S}
            self._changed_s |= dict.fromkeys((*items, *facets), now_s)

    def reread_changed(self, items: Iterable[str], facets: Iterable[int], scenarios: Sequence[str]) -> None:
        """Read again those of them that are held. Raises StoreUnavailable."""
        with self._lock:
            held = [item for item in items if item in self._table]
            held_facets = [key for key in facets if self._table.holds_facet(key)]
        if held_facets:
            begun_s, block = self._clock(), self._read_facets(held_facets)
            with self._lock:
                self._table.put_facets(held_facets, block, np.full(len(held_facets), begun_s))
        if held:
            self.read(held, scenarios)

    def oldest(self, count: int) -> list[str]:
        """At most so many items that should be read again before they become too old; those asked for last first."""
        with self._lock:
            return self._table.oldest(count, self._soon_too_old())

    def synced(self, time_s: float) -> None:
        """All changes until then have been read again."""
        self._synced_s = time_s

    def forget_ages(self) -> None:
        """Changes may have gone by unseen: nothing counts as young."""
        with self._lock:
            self._synced_s = NEVER
            self._table.forget_ages()

    def _soon_too_old(self) -> float:
        """What was not read after this time should be read again before it is too old."""
        before_s = self._clock() - self._age_s / 2
        return NEVER if self._synced_s >= before_s else before_s

    def _stale(self, slots: Ints) -> NDArray[np.bool_]:
        unknown: NDArray[np.bool_] = slots == UNKNOWN
        before_s = self._clock() - self._age_s
        unknown |= self._table.stale(np.maximum(slots, NOTHING), before_s, self._synced_s)
        return unknown

    def _cached(self, slots: Ints, columns: Ints, *, available: bool) -> CachedItems:
        now_s = self._clock()
        read_s = max(self._table.oldest_read_s(slots), self._synced_s)
        age_s = max(now_s - read_s, 0.0) if np.isfinite(read_s) else 0.0
        fields = self._table.hydrated(slots, columns)
        return CachedItems(fields, self._table.known(slots), age_s, available)

    def _try_read(self, items: Sequence[str], scenarios: Sequence[str], keep: Sequence[str]) -> bool:
        try:
            self.read(items, scenarios, keep)
        except StoreUnavailable:
            return False
        return True

    def _read_facets(self, keys: Sequence[int]) -> Block:
        return read_block(self._store, self._views[FACET_VIEW], [(str(key),) for key in keys])

    def _read_at(self, keys: Sequence[str] | Sequence[int], begun_s: float) -> Floats:
        changed = self._changed_s
        return np.array([NEVER if changed.get(key, NEVER) > begun_s else begun_s for key in keys])
