"""Items in memory as columns: what is settled about each, an array per feature and a row per item.

Facets, and items in scenarios, are kept once each; items point at them. Bounded: when full, the items asked for
longest ago leave. Knows rows, ids and times; does no I/O and takes no locks.
"""

from collections.abc import Iterable, Sequence
from itertools import repeat
from typing import Any, Generic, TypeVar

import numpy as np

from services.features.hashing import NO_KEY, keys64
from services.features.item_columns import (
    ColumnSet,
    ItemColumns,
    precompute_activity,
    precompute_item_scenarios,
    precompute_items,
)
from services.features.rows import Block, Floats, Ints, pack_rows
from services.features.schema import Schema

NEVER, NOBODY = -np.inf, np.inf
"""Times of reading: of a row that is yet to be read, and of one that is free."""

FIRST_ROWS = 1024
NOTHING = 0
"""The facet that is none, and the pair that was never written: rows of defaults."""

UNKNOWN = -1
"""Slot of an item that is not here."""

ITEM_VIEWS = ("item", "item_activity")
PAIR_VIEWS = ("item_scenario", "item_scenario_activity")
FACET_VIEW = "facet_activity"


C = TypeVar("C", bound=ColumnSet)


class Rows(Generic[C]):
    """Columns with room to grow, and free rows.

    Args:
        columns: one row, that takes number `NOTHING`.
    """

    def __init__(self, columns: C) -> None:
        self.columns, self.used, self._free = columns, 1, list[int]()

    def free(self, rows: Iterable[int]) -> None:
        """Rows to be given out again."""
        self._free.extend(rows)

    def take(self, count: int) -> list[int]:
        """Numbers of so many new rows; those of another that is used alike are the same."""
        again = [self._free.pop() for _ in range(min(count, len(self._free)))]
        first, self.used = self.used, self.used + count - len(again)
        if self.used > len(self.columns):
            self.columns = self.columns.resized(max(2 * len(self.columns), self.used, FIRST_ROWS))
        return [*again, *range(first, self.used)]


class ItemTable:
    """What is known of items, their facets, and their pairs with scenarios.

    Args:
        schema: the feature schema.
        encoder: fingerprint of the trusted text encoder.
        size: most items held.
    """

    def __init__(self, schema: Schema, encoder: int, size: int) -> None:
        self._schema, self._encoder, self._size = schema, encoder, size
        blocks = {name: pack_rows(schema[name], [None]) for name in (*ITEM_VIEWS, *PAIR_VIEWS, FACET_VIEW)}
        facet = np.zeros((1, len(schema.config.facets)), np.int32)
        described = blocks["item"], blocks["item_activity"]
        self._items = Rows(precompute_items(schema.config, encoder, np.zeros(1, np.int64), facet, *described))
        self._activity = Rows(precompute_activity(schema.config, blocks["item_activity"]))
        self._pairs = Rows(precompute_item_scenarios(schema.config, *(blocks[name] for name in PAIR_VIEWS)))
        self._facets = Rows(precompute_activity(schema.config, blocks[FACET_VIEW]))
        self._slots: dict[str, int] = {}
        self._ids: list[str] = [""]
        self._facet_slots: dict[int, int] = {NO_KEY: NOTHING}
        self._scenarios: dict[str, int] = {}
        self._known, self._pair_slots = np.zeros(1, bool), np.zeros((1, 0), np.int32)
        self._read_s, self._used_s = np.full(1, NOBODY), np.zeros(1)
        self._all_read = True
        self._facet_key, self._facet_read_s = np.zeros(1, np.int64), np.full(1, NOBODY)

    def __len__(self) -> int:
        return len(self._slots)

    def __contains__(self, item: str) -> bool:
        return item in self._slots

    def holds_facet(self, key: int) -> bool:
        """Whether an item that is or was held has this facet."""
        return key in self._facet_slots

    def slots(self, items: Sequence[str]) -> Ints:
        """The slot of each item, UNKNOWN where it is not here."""
        return np.fromiter(map(self._slots.get, items, repeat(UNKNOWN)), np.int64, len(items))

    def ask_for(self, slots: Ints, now_s: float) -> None:
        """Items in these slots leave after all that were asked for before."""
        self._used_s[slots] = now_s

    def columns_of(self, scenarios: Sequence[str]) -> Ints:
        """The column of each scenario among the pairs; of one that is new all items have to be read again."""
        if new := [scenario for scenario in dict.fromkeys(scenarios) if scenario not in self._scenarios]:
            first = len(self._scenarios)
            self._scenarios |= {scenario: first + number for number, scenario in enumerate(new)}
            self._pair_slots = np.pad(self._pair_slots, ((0, 0), (0, len(new))))
            self.forget_ages()
        return np.array([self._scenarios[scenario] for scenario in scenarios], np.int64)

    def oldest_read_s(self, slots: Ints) -> float:
        """When the one of the items that was read first was read."""
        return float(self._read_s[slots].min())

    def put_items(
        self, items: Sequence[str], item: Block, activity: Block, read_s: Floats, keep: Iterable[str] = ()
    ) -> None:
        """Rows of `item` and `item_activity`, each with the time at which it was read; none of `keep` leaves for it."""
        facets = item.ints("facet_keys")
        slots, places = self._slots_for(items, float(read_s.max()), keep), self._facets_for(facets)
        config = self._schema.config
        self._items.columns.put(slots, precompute_items(config, self._encoder, keys64(items), places, item, activity))
        self._activity.columns.put(slots, precompute_activity(config, activity))
        self._known[slots], self._read_s[slots] = item.ints("schema") != 0, read_s
        self._all_read &= bool((read_s > NEVER).all())

    def put_pairs(self, pairs: Sequence[tuple[str, str]], pair: Block, activity: Block) -> None:
        """Rows of `item_scenario` and `item_scenario_activity`; those of items that are not here are left out."""
        held = np.array([item in self._slots for item, _ in pairs], bool)
        there = (pair.ints("schema") != 0) | (activity.ints("schema") != 0)
        self._free_pairs([pairs[place] for place in np.flatnonzero(held & ~there).tolist()])
        chosen = np.flatnonzero(held & there)
        slots, columns = self._places([pairs[place] for place in chosen.tolist()])
        rows = self._pair_slots[slots, columns]
        new = np.flatnonzero(rows == NOTHING)
        rows[new] = self._pairs.take(len(new))
        self._pair_slots[slots, columns] = rows
        self._pairs.columns.put(rows, precompute_item_scenarios(self._schema.config, pair, activity).take(chosen))

    def put_facets(self, keys: Sequence[int], activity: Block, read_s: Floats) -> None:
        """Rows of `facet_activity`, each with the time at which it was read."""
        slots = self._facets_for(np.array(keys, np.int64))
        self._facets.columns.put(slots, precompute_activity(self._schema.config, activity))
        self._facet_read_s[slots] = read_s
        self._all_read &= bool((read_s > NEVER).all())

    def stale(self, slots: Ints, before_s: float, synced_s: float) -> np.ndarray:
        """Which items, or facets of theirs, are not known to be as they were at `before_s`: [N].

        What was read at any time holds at `synced_s`, for changes since the reading are known until then.
        """
        if synced_s >= before_s and self._all_read:
            return np.zeros(len(slots), bool)
        facet_read_s = self._facet_read_s[self._items.columns.facet[slots]]
        read_s = np.minimum(self._read_s[slots], facet_read_s.min(axis=1))
        result: np.ndarray = read_s == NEVER if synced_s >= before_s else read_s < before_s
        return result

    def unread_facets(self, keys: Iterable[int], before_s: float) -> list[int]:
        """Those facets that are not here, or were not read after a time."""
        slots, read_s = self._facet_slots, self._facet_read_s
        return [key for key in keys if key not in slots or read_s[slots[key]] <= before_s]

    def oldest(self, count: int, before_s: float) -> list[str]:
        """At most so many of the items that were not read after a time; those asked for last come first."""
        old = np.flatnonzero(self._read_s <= before_s)
        self._all_read = not len(old) and not (self._facet_read_s == NEVER).any()
        if count < len(old):
            old = old[np.argpartition(-self._used_s[old], count)[:count]]
        return [self._ids[slot] for slot in old[np.argsort(-self._used_s[old])].tolist()]

    def forget_ages(self) -> None:
        """Take nothing for young any more."""
        for read_s in (self._read_s, self._facet_read_s):
            read_s[read_s < NOBODY] = NEVER
        self._all_read = False

    def hydrated(self, slots: Ints, columns: Ints) -> dict[str, Any]:
        """The fields of Hydrated that are about the items in `slots`, in scenarios `columns`; copies."""
        items = self._items.columns.take(slots)
        facets, place = np.unique(items.facet, return_inverse=True)
        pairs = self._pair_slots.take(slots, axis=0).take(columns, axis=1).ravel()
        return {
            "items": ItemColumns(items.key, place.reshape(len(slots), -1), items.text, items.created_s, items.fixed),
            "item_activity": self._activity.columns.take(slots),
            "pairs": self._pairs.columns.take(pairs),
            "facet_activity": self._facets.columns.take(facets),
            "facet_key": self._facet_key[facets],
        }

    def known(self, slots: Ints) -> np.ndarray:
        """Which of the items the store has."""
        return self._known[slots]

    def _places(self, pairs: Sequence[tuple[str, str]]) -> tuple[Ints, Ints]:
        """Slot and column of each pair."""
        return self.slots([item for item, _ in pairs]), self.columns_of([scenario for _, scenario in pairs])

    def _free_pairs(self, pairs: Sequence[tuple[str, str]]) -> None:
        slots, columns = self._places(pairs)
        rows = self._pair_slots[slots, columns]
        self._pairs.free(rows[rows != NOTHING].tolist())
        self._pair_slots[slots, columns] = NOTHING

    def _slots_for(self, items: Sequence[str], now_s: float, keep: Iterable[str]) -> Ints:
        new = [item for item in items if item not in self._slots]
        if new:
            if len(self._slots) + len(new) > self._size:
                self._evict(max(len(self._slots) + len(new) - self._size, self._size // 10), {*items, *keep})
            taken = self._items.take(len(new))
            self._activity.take(len(new))
            self._grow(self._items.used)
            for item, slot in zip(new, taken, strict=True):
                self._slots[item], self._ids[slot] = slot, item
            self._pair_slots[taken], self._used_s[taken], self._read_s[taken] = NOTHING, now_s, NEVER
        return self.slots(items)

    def _grow(self, size: int) -> None:
        if size <= len(self._read_s):
            return
        more = len(self._items.columns) - len(self._read_s)
        self._ids.extend([""] * more)
        self._known, self._used_s = _longer(self._known, more), _longer(self._used_s, more)
        self._read_s, self._pair_slots = _longer(self._read_s, more, NOBODY), _longer(self._pair_slots, more)

    def _evict(self, count: int, kept: set[str]) -> None:
        leaving = self._read_s < NOBODY
        leaving[[self._slots[item] for item in kept if item in self._slots]] = False
        held = np.flatnonzero(leaving)
        if count < len(held):
            held = held[np.argpartition(self._used_s[held], count)[:count]]
        pairs = self._pair_slots[held]
        self._pairs.free(pairs[pairs != NOTHING].tolist())
        for slot in held.tolist():
            del self._slots[self._ids[slot]]
            self._ids[slot] = ""
        self._read_s[held] = NOBODY
        self._items.free(held.tolist())
        self._activity.free(held.tolist())

    def _facets_for(self, keys: Ints) -> np.ndarray:
        distinct, place = np.unique(keys, return_inverse=True)
        new = [key for key in distinct.tolist() if key not in self._facet_slots]
        taken = self._facets.take(len(new))
        more = len(self._facets.columns) - len(self._facet_key)
        if more:
            self._facet_key = _longer(self._facet_key, more)
            self._facet_read_s = _longer(self._facet_read_s, more, NOBODY)
        self._facet_slots |= dict(zip(new, taken, strict=True))
        self._facet_key[taken], self._facet_read_s[taken] = new, NEVER
        slots = np.array([self._facet_slots[key] for key in distinct.tolist()], np.int32)
        return slots[place].reshape(keys.shape)


def _longer(array: np.ndarray, more: int, fill: float = 0) -> np.ndarray:
    """A copy with more rows; where they are 0 they take no memory before they are written."""
    result = np.zeros((len(array) + more, *array.shape[1:]), array.dtype)
    result[: len(array)] = array
    if fill:
        result[len(array) :] = fill
    return result
