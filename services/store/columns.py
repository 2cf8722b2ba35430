"""A RowStore in memory as columns: the store of replays, which read and write millions of rows a week.

Views whose features all have fixed lengths are arrays with a slot per key; views with tables are kept row by row.
Fenced like the Redis store.
"""

from collections.abc import Iterator, Sequence

import numpy as np

from services.features.feature import VARIABLE
from services.features.positions import is_fenced
from services.features.rows import Block, default_column
from services.features.schema import Schema, View
from services.store.memory import MemoryRowStore
from services.store.protocol import FencedWrite, Key, ReadRequest

FIRST_SLOTS = 1024
DEFAULT_SLOT = 0
"""Holds the row that was never written."""


class ColumnRowStore:
    """A RowStore that lives as long as the process, fast for blocks of rows.

    Args:
        schema: the feature schema.
    """

    def __init__(self, schema: Schema) -> None:
        with_tables = {view.name for view in schema.views if any(f.length == VARIABLE for f in view.features)}
        self._columns = {view.name: _ViewColumns(view) for view in schema.views if view.name not in with_tables}
        self._rows = MemoryRowStore()

    def ids(self, view: View) -> Iterator[Key]:
        """See `StoreAdmin`."""
        columns = self._columns.get(view.name)
        return self._rows.ids(view) if columns is None else iter(list(columns.slots))

    def read_blocks(self, requests: Sequence[ReadRequest]) -> list[Block]:
        """See `RowStore`."""
        return [
            self._rows.read_blocks([(view, keys)])[0] if columns is None else columns.read(keys)
            for columns, view, keys in ((self._columns.get(view.name), view, keys) for view, keys in requests)
        ]

    def write(self, keys: Sequence[Key], block: Block) -> None:
        """See `RowStore`."""
        columns = self._columns.get(block.view.name)
        if columns is None:
            self._rows.write(keys, block)
        else:
            columns.write(keys, block)

    def delete(self, view: View, keys: Sequence[Key], position: Sequence[int]) -> None:
        """See `RowStore`. Raises TypeError for a view without tables: replays never delete its rows."""
        if view.name in self._columns:
            raise TypeError(f"rows of view {view.name} are not removed")
        self._rows.delete(view, keys, position)


class _ViewColumns:
    """The rows of one view."""

    def __init__(self, view: View) -> None:
        self._view, self.slots, self._used = view, dict[Key, int](), DEFAULT_SLOT + 1
        self._columns = {feature.name: self._empty(feature.name, FIRST_SLOTS) for feature in view.features}

    def read(self, keys: Sequence[Key]) -> Block:
        slots = np.array([self.slots.get(key, DEFAULT_SLOT) for key in keys], np.int64)
        return Block(self._view, len(keys), {name: column[slots] for name, column in self._columns.items()}, {})

    def write(self, keys: Sequence[Key], block: Block) -> None:
        slots = np.array([self._slot(key) for key in keys], np.int64)
        fenced = is_fenced(block.ints("position"), self._columns["position"][slots])
        for name, column in self._columns.items():
            column[slots[~fenced]] = block.fixed[name][~fenced]
        if fenced.any():
            raise FencedWrite(f"{int(fenced.sum())} rows of view {self._view.name} hold newer positions")

    def _slot(self, key: Key) -> int:
        slot = self.slots.get(key)
        if slot is None:
            slot = self.slots[key] = self._used
            self._used += 1
            if slot >= len(self._columns["position"]):
                for name, column in self._columns.items():
                    self._columns[name] = np.concatenate([column, self._empty(name, len(column))])
        return slot

    def _empty(self, name: str, rows: int) -> np.ndarray:
        return default_column(self._view[name], rows)
