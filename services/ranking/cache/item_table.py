"""Items in memory as columns: precomputed features, an array per feature and a row per item.

Facets, and rows of an item in a scenario (pairs), are kept once each; items refer to them. Bounded: when full, the
least recently used items are evicted; facets and scenarios that nothing refers to are dropped. Knows rows, ids and
times; does no I/O and takes no locks.
"""

from collections.abc import Iterable, Sequence
from itertools import repeat
from typing import Any

import numpy as np
from numpy.typing import NDArray

from services.features.hashing import NO_KEY, keys64
from services.features.item_columns import (
    PrecomputedItems,
    precompute_activity,
    precompute_item_scenarios,
    precompute_items,
)
from services.features.rows import Block, Floats, Ints, pack_rows
from services.features.schema import Schema
from services.ranking.cache.row_pool import DEFAULT_ROW, FIRST_ROWS, RowPool, extend_rows

NEVER, FREE = -np.inf, np.inf
"""Read times of a row that was not read yet, and of a row that is not in use."""

SPARE_SCENARIOS = 16
"""Columns of scenarios that are not asked for any more are kept, up to this many beyond as many as are asked for."""

UNKNOWN = -1
"""Slot of an item that is not in memory."""

ITEM_VIEWS = ("item", "item_activity")
PAIR_VIEWS = ("item_scenario", "item_scenario_activity")
FACET_VIEW = "facet_activity"


class ItemTable:
    """Items, their facets, and their pairs with scenarios.

    Args:
        schema: the feature schema.
        encoder: fingerprint of the trusted text encoder.
        size: capacity in items.
    """

    def __init__(self, schema: Schema, encoder: int, size: int) -> None:
        self._schema, self._encoder, self._size = schema, encoder, size
        blocks = {name: pack_rows(schema[name], [None]) for name in (*ITEM_VIEWS, *PAIR_VIEWS, FACET_VIEW)}
        facet = np.zeros((1, len(schema.config.facets)), np.int32)
        described = blocks["item"], blocks["item_activity"]
        self._items = RowPool(precompute_items(schema.config, encoder, np.zeros(1, np.int64), facet, *described))
        self._activity = RowPool(precompute_activity(schema.config, blocks["item_activity"]))
        self._pairs = RowPool(precompute_item_scenarios(schema.config, *(blocks[name] for name in PAIR_VIEWS)))
        self._facets = RowPool(precompute_activity(schema.config, blocks[FACET_VIEW]))
        self._slots: dict[str, int] = {}
        self._ids: list[str] = [""]
        self._facet_slots: dict[int, int] = {NO_KEY: DEFAULT_ROW}
        self._scenarios: dict[str, int] = {}
        self._known, self._active, self._pair_slots = np.zeros(1, bool), np.zeros(1, bool), np.zeros((1, 0), np.int32)
        self._read_s, self._used_s = np.full(1, FREE), np.zeros(1)
        self._all_read = True
        self._facet_key, self._facet_read_s = np.zeros(1, np.int64), np.full(1, FREE)
        self._most_facets = FIRST_ROWS

    def __len__(self) -> int:
        return len(self._slots)

    def __contains__(self, item: str) -> bool:
        return item in self._slots

    def holds_facet(self, key: int) -> bool:
        """Whether an item that is or was in memory has this facet."""
        return key in self._facet_slots

    def slots_of(self, items: Sequence[str]) -> Ints:
        """The slot of each item, UNKNOWN if it is not in memory."""
        return np.fromiter(map(self._slots.get, items, repeat(UNKNOWN)), np.int64, len(items))

    def touch(self, slots: Ints, now_s: float) -> None:
        """The items in these slots are used now; least recently used items are evicted first."""
        self._used_s[slots] = now_s

    def scenario_columns(self, scenarios: Sequence[str]) -> Ints:
        """The column of each of the scenarios, all that are asked for now; a new one marks all items stale."""
        if len(self._scenarios) > 2 * len(scenarios) + SPARE_SCENARIOS:
            self._drop_scenarios(set(scenarios))
        return self._columns(scenarios)

    def _columns(self, scenarios: Sequence[str]) -> Ints:
        """The column of each scenario among the pairs; a new scenario marks all items stale."""
        if new := [scenario for scenario in dict.fromkeys(scenarios) if scenario not in self._scenarios]:
            first = len(self._scenarios)
            self._scenarios |= {scenario: first + number for number, scenario in enumerate(new)}
            self._pair_slots = np.pad(self._pair_slots, ((0, 0), (0, len(new))))
            self.mark_all_stale()
        return np.array([self._scenarios[scenario] for scenario in scenarios], np.int64)

    def oldest_read_s(self, slots: Ints) -> float:
        """The earliest read time of the items."""
        return float(self._read_s[slots].min())

    def put_items(
        self, items: Sequence[str], item: Block, activity: Block, read_s: Floats, keep: Iterable[str] = ()
    ) -> None:
        """Store rows of `item` and `item_activity`, each with its read time; items in `keep` are not evicted."""
        facets = item.ints("facet_keys")
        slots, places = self._allocate_slots(items, float(read_s.max()), keep), self._allocate_facets(facets)
        self._all_read &= bool((self._facet_read_s[places] > NEVER).all())  # one may have been dropped meanwhile
        config = self._schema.config
        self._items.columns.put(slots, precompute_items(config, self._encoder, keys64(items), places, item, activity))
        self._activity.columns.put(slots, precompute_activity(config, activity))
        self._known[slots], self._read_s[slots] = item.floats("updated_s") > 0, read_s  # 0: none, or deleted
        self._active[slots] = activity.ints("schema") != 0
        self._all_read &= bool((read_s > NEVER).all())

    def put_pairs(self, pairs: Sequence[tuple[str, str]], pair: Block, activity: Block) -> None:
        """Store rows of `item_scenario` and `item_scenario_activity`, except those of items that are not in memory."""
        held = np.array([item in self._slots for item, _ in pairs], bool)
        stored = (pair.ints("schema") != 0) | (activity.ints("schema") != 0)
        self._release_pairs([pairs[place] for place in np.flatnonzero(held & ~stored).tolist()])
        chosen = np.flatnonzero(held & stored)
        slots, columns = self._pair_positions([pairs[place] for place in chosen.tolist()])
        rows = self._pair_slots[slots, columns]
        new = np.flatnonzero(rows == DEFAULT_ROW)
        rows[new] = self._pairs.allocate(len(new))
        self._pair_slots[slots, columns] = rows
        self._pairs.columns.put(rows, precompute_item_scenarios(self._schema.config, pair, activity).take(chosen))

    def put_facets(self, keys: Sequence[int], activity: Block, read_s: Floats) -> None:
        """Store rows of `facet_activity`, each with its read time."""
        if len(self._facet_slots) > self._most_facets:
            self._drop_facets()
        slots = self._allocate_facets(np.array(keys, np.int64))
        self._facets.columns.put(slots, precompute_activity(self._schema.config, activity))
        self._facet_read_s[slots] = read_s
        self._all_read &= bool((read_s > NEVER).all())

    def stale(self, slots: Ints, before_s: float, synced_s: float) -> np.ndarray:
        """Which items are stale, [N]: they or one of their facets are not known to be up to date at `before_s`.

        Rows that were read at any time are up to date at `synced_s`, because all changes until then have been applied.
        """
        if synced_s >= before_s and self._all_read:
            return np.zeros(len(slots), bool)
        facet_read_s = self._facet_read_s[self._items.columns.facet[slots]]
        read_s = np.minimum(self._read_s[slots], facet_read_s.min(axis=1))
        result: np.ndarray = read_s == NEVER if synced_s >= before_s else read_s < before_s
        return result

    def facets_to_read(self, keys: Iterable[int], before_s: float) -> list[int]:
        """The facets that are not in memory, or were not read after `before_s`."""
        slots, read_s = self._facet_slots, self._facet_read_s
        return [key for key in keys if key not in slots or read_s[slots[key]] <= before_s]

    def due_for_refresh(self, count: int, before_s: float) -> list[str]:
        """At most `count` of the items that were not read after `before_s`; most recently used first."""
        old = np.flatnonzero(self._read_s <= before_s)
        self._all_read = not len(old) and not (self._facet_read_s == NEVER).any()
        if count < len(old):
            old = old[np.argpartition(-self._used_s[old], count)[:count]]
        return [self._ids[slot] for slot in old[np.argsort(-self._used_s[old])].tolist()]

    def mark_stale(self, items: Iterable[str], facets: Iterable[int]) -> None:
        """Mark these stale, where they are in memory."""
        self._read_s[[self._slots[item] for item in items if item in self._slots]] = NEVER
        self._facet_read_s[[self._facet_slots[key] for key in facets if key in self._facet_slots]] = NEVER
        self._all_read = False

    def mark_all_stale(self) -> None:
        """Mark all items and facets stale."""
        for read_s in (self._read_s, self._facet_read_s):
            read_s[read_s < FREE] = NEVER
        self._all_read = False

    def gather_fields(self, slots: Ints, columns: Ints) -> dict[str, Any]:
        """The fields of FeatureRows that hold the items in `slots`, in scenarios `columns`; copies."""
        items = self._items.columns.take(slots)
        facets, place = self._number_facets(items.facet)
        pairs = self._pair_slots.take(slots, axis=0).take(columns, axis=1).ravel()
        return {
            "items": PrecomputedItems(items.key, place, items.text, items.created_s, items.fixed),
            "item_activity": self._activity.columns.take(slots),
            "pairs": self._pairs.columns.take(pairs),
            "facet_activity": self._facets.columns.take(facets),
            "facet_key": self._facet_key[facets],
        }

    def _number_facets(self, slots: NDArray[np.integer]) -> tuple[Ints, Ints]:
        """The distinct slots of facets, rising, and the number of each [...] among them; without sorting."""
        used = np.zeros(self._facets.used, bool)
        used[slots] = True
        distinct = used.nonzero()[0]
        number = np.empty(len(used), np.int64)
        number[distinct] = np.arange(len(distinct))
        return distinct, number.take(slots)

    def known(self, slots: Ints) -> np.ndarray:
        """Which of the items the store has an update of."""
        return self._known[slots]

    def active(self, slots: Ints) -> np.ndarray:
        """Which of the items the store has activity of."""
        return self._active[slots]

    def _pair_positions(self, pairs: Sequence[tuple[str, str]]) -> tuple[Ints, Ints]:
        """Slot and column of each pair."""
        return self.slots_of([item for item, _ in pairs]), self._columns([scenario for _, scenario in pairs])

    def _drop_scenarios(self, kept: set[str]) -> None:
        """Drop the columns of all other scenarios, and their pairs."""
        dropped = [column for scenario, column in self._scenarios.items() if scenario not in kept]
        rows = self._pair_slots[:, dropped]
        self._pairs.release(rows[rows != DEFAULT_ROW].tolist())
        self._pair_slots = np.delete(self._pair_slots, dropped, axis=1)
        self._scenarios = {name: place for place, name in enumerate(name for name in self._scenarios if name in kept)}

    def _release_pairs(self, pairs: Sequence[tuple[str, str]]) -> None:
        slots, columns = self._pair_positions(pairs)
        rows = self._pair_slots[slots, columns]
        self._pairs.release(rows[rows != DEFAULT_ROW].tolist())
        self._pair_slots[slots, columns] = DEFAULT_ROW

    def _allocate_slots(self, items: Sequence[str], now_s: float, keep: Iterable[str]) -> Ints:
        new = [item for item in items if item not in self._slots]
        if new:
            if len(self._slots) + len(new) > self._size:
                self._evict(max(len(self._slots) + len(new) - self._size, self._size // 10), {*items, *keep})
            allocated = self._items.allocate(len(new))
            self._activity.allocate(len(new))
            self._grow(self._items.used)
            for item, slot in zip(new, allocated, strict=True):
                self._slots[item], self._ids[slot] = slot, item
            self._pair_slots[allocated], self._used_s[allocated], self._read_s[allocated] = DEFAULT_ROW, now_s, NEVER
        return self.slots_of(items)

    def _grow(self, size: int) -> None:
        if size <= len(self._read_s):
            return
        more = len(self._items.columns) - len(self._read_s)
        self._ids.extend([""] * more)
        self._known, self._active = extend_rows(self._known, more), extend_rows(self._active, more)
        self._used_s = extend_rows(self._used_s, more)
        self._read_s, self._pair_slots = extend_rows(self._read_s, more, FREE), extend_rows(self._pair_slots, more)

    def _evict(self, count: int, kept: set[str]) -> None:
        leaving = self._read_s < FREE
        leaving[[self._slots[item] for item in kept if item in self._slots]] = False
        held = np.flatnonzero(leaving)
        if count < len(held):
            held = held[np.argpartition(self._used_s[held], count)[:count]]
        pairs = self._pair_slots[held]
        self._pairs.release(pairs[pairs != DEFAULT_ROW].tolist())
        for slot in held.tolist():
            del self._slots[self._ids[slot]]
            self._ids[slot] = ""
        self._read_s[held] = FREE
        self._items.release(held.tolist())
        self._activity.release(held.tolist())

    def _drop_facets(self) -> None:
        """Drop the facets that no item in memory refers to; again when there are twice as many as remain."""
        used = np.zeros(self._facets.used, bool)
        used[self._items.columns.facet[np.flatnonzero(self._read_s < FREE)]] = True
        used[DEFAULT_ROW] = True
        dropped = [(key, slot) for key, slot in self._facet_slots.items() if not used[slot]]
        for key, slot in dropped:
            del self._facet_slots[key]
            self._facet_key[slot], self._facet_read_s[slot] = NO_KEY, FREE
        self._facets.release([slot for _, slot in dropped])
        self._most_facets = max(FIRST_ROWS, 2 * len(self._facet_slots))

    def _allocate_facets(self, keys: Ints) -> np.ndarray:
        distinct, place = np.unique(keys, return_inverse=True)
        new = [key for key in distinct.tolist() if key not in self._facet_slots]
        allocated = self._facets.allocate(len(new))
        more = len(self._facets.columns) - len(self._facet_key)
        if more:
            self._facet_key = extend_rows(self._facet_key, more)
            self._facet_read_s = extend_rows(self._facet_read_s, more, FREE)
        self._facet_slots |= dict(zip(new, allocated, strict=True))
        self._facet_key[allocated], self._facet_read_s[allocated] = new, NEVER
        slots = np.array([self._facet_slots[key] for key in distinct.tolist()], np.int32)
        return slots[place].reshape(keys.shape)
