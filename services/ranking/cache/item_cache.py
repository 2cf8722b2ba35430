"""Item rows for requests: from memory while they are fresh, else from the store, in one batch.

A row older than the bound is read again before it is used; the background refresh (`mark_changed`, `refresh_changed`)
makes this rare. While the store is unavailable the last known rows are used.
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
from services.ranking.cache.item_table import FACET_VIEW, ITEM_VIEWS, NEVER, PAIR_VIEWS, UNKNOWN, ItemTable
from services.ranking.cache.row_pool import DEFAULT_ROW
from services.store.protocol import Key, ReadRequest, RowStore, StoreUnavailable, read_block

CHANGES_KEPT_S = 30.0
"""Seconds for which the times of changes are kept: longer than any read takes."""


@dataclass(frozen=True)
class ItemLookup:
    """Item rows of a request.

    Args:
        fields: the fields of FeatureRows that hold items.
        known: [N] whether the store has an update of the item: what it is.
        active: [N] whether the store has activity of the item: what users did with it.
        age_s: seconds since the oldest of the rows was known to equal the store's.
        available: whether every read that was needed succeeded.
    """

    fields: dict[str, Any]
    known: np.ndarray
    active: np.ndarray
    age_s: float
    available: bool


class ItemCache:
    """Items, their facets, and their rows per scenario. Safe between threads.

    Args:
        store: the online store.
        schema: the feature schema.
        encoder: fingerprint of the trusted text encoder.
        size: capacity in items.
        age_s: seconds for which a row is fresh after it was read, or was last known to be unchanged.
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
        self.hits = self.misses = 0  # items of requests so far that were in memory, and that had to be read

    def __len__(self) -> int:
        return len(self._table)

    def lookup(self, items: Sequence[str], scenarios: Sequence[str]) -> ItemLookup:
        """The rows of distinct items in scenarios; reads those that are missing or stale."""
        with self._lock:
            slots, columns = self._table.slots_of(items), self._table.scenario_columns(scenarios)
            self._table.touch(np.maximum(slots, DEFAULT_ROW), self._clock())
            stale = self._stale(slots)
            missing = int(np.count_nonzero(stale))
            self.hits, self.misses = self.hits + len(slots) - missing, self.misses + missing
            if not missing:
                return self._build_lookup(slots, columns, available=True)
        available = self._try_read([items[place] for place in np.flatnonzero(stale).tolist()], scenarios, items)
        with self._lock:
            # Items that were not read, or were evicted at once, count as unknown.
            slots = np.maximum(self._table.slots_of(items), DEFAULT_ROW)
            columns = self._table.scenario_columns(scenarios)  # another request may have moved them meanwhile
            self._table.touch(slots, self._clock())
            return self._build_lookup(slots, columns, available=available)

    def read(self, items: Sequence[str], scenarios: Sequence[str], keep: Sequence[str] = ()) -> None:
        """Read items from the store, in two round trips, because items name their facets. Raises StoreUnavailable.

        When the cache is full, items other than these and `keep` are evicted.
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
            facets = self._table.facets_to_read(distinct, self._refresh_before())
        facet_block = self._read_facets(facets)
        with self._lock:
            self._table.put_facets(facets, facet_block, self._read_times(facets, begun_s))
            self._table.put_items(items, item, activity, self._read_times(items, begun_s), keep)
            self._table.put_pairs(pairs, pair, pair_activity)

    def mark_changed(self, items: Iterable[str], facets: Iterable[int]) -> None:
        """These rows have changed in the store: a read in progress may have returned the values before the change."""
        now_s = self._clock()
        with self._lock:
            self._changed_s = {key: s for key, s in self._changed_s.items() if s > now_s - CHANGES_KEPT_S}
            self._changed_s |= dict.fromkeys((*items, *facets), now_s)

    def refresh_changed(self, items: Iterable[str], facets: Iterable[int], scenarios: Sequence[str]) -> None:
        """Read the changed rows that are in memory again. Raises StoreUnavailable."""
        with self._lock:
            held = [item for item in items if item in self._table]
            held_facets = [key for key in facets if self._table.holds_facet(key)]
        if held_facets:
            begun_s, block = self._clock(), self._read_facets(held_facets)
            with self._lock:
                self._table.put_facets(held_facets, block, np.full(len(held_facets), begun_s))
        if held:
            self.read(held, scenarios)

    def due_for_refresh(self, count: int) -> list[str]:
        """At most `count` items to read again before they become stale; most recently used first."""
        with self._lock:
            return self._table.due_for_refresh(count, self._refresh_before())

    def mark_synced(self, time_s: float) -> None:
        """All changes until then have been read."""
        self._synced_s = time_s

    def mark_stale(self, items: Iterable[str], facets: Iterable[int]) -> None:
        """Changes of these rows could not be read: they do not count as fresh."""
        with self._lock:
            self._table.mark_stale(items, facets)

    def mark_all_stale(self) -> None:
        """Changes may have been missed: no row counts as fresh."""
        with self._lock:
            self._synced_s = NEVER
            self._table.mark_all_stale()

    def _refresh_before(self) -> float:
        """Rows read before this time should be read again before they become stale."""
        before_s = self._clock() - self._age_s / 2
        return NEVER if self._synced_s >= before_s else before_s

    def _stale(self, slots: Ints) -> NDArray[np.bool_]:
        unknown: NDArray[np.bool_] = slots == UNKNOWN
        before_s = self._clock() - self._age_s
        unknown |= self._table.stale(np.maximum(slots, DEFAULT_ROW), before_s, self._synced_s)
        return unknown

    def _build_lookup(self, slots: Ints, columns: Ints, *, available: bool) -> ItemLookup:
        now_s = self._clock()
        read_s = max(self._table.oldest_read_s(slots), self._synced_s)
        age_s = max(now_s - read_s, 0.0) if np.isfinite(read_s) else 0.0
        fields = self._table.gather_fields(slots, columns)
        return ItemLookup(fields, self._table.known(slots), self._table.active(slots), age_s, available)

    def _try_read(self, items: Sequence[str], scenarios: Sequence[str], keep: Sequence[str]) -> bool:
        try:
            self.read(items, scenarios, keep)
        except StoreUnavailable:
            return False
        return True

    def _read_facets(self, keys: Sequence[int]) -> Block:
        return read_block(self._store, self._views[FACET_VIEW], [(str(key),) for key in keys])

    def _read_times(self, keys: Sequence[str] | Sequence[int], begun_s: float) -> Floats:
        changed = self._changed_s
        return np.array([NEVER if changed.get(key, NEVER) > begun_s else begun_s for key in keys])
