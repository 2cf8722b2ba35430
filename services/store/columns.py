"""Rows in memory as columns: the store of replays, where millions of rows are read and written a week at a time.

Views whose features all have fixed lengths are arrays with a slot per key; views with tables are kept row by row.
Same rules as the real store, fencing included.
"""

from collections.abc import Sequence

import numpy as np

from services.features.rows import Block, Row, default_column, pack_rows, unpack_rows
from services.features.schema import VARIABLE, Schema, View
from services.store.memory import MemoryRowStore
from services.store.protocol import FencedWrite, Key

FIRST_SLOTS = 1024
DEFAULT_SLOT = 0
"""Holds the row that was never written."""


class ColumnRowStore:
    """A RowStore that lives as long as the process, fast for blocks of rows.

    Args:
        schema: the feature schema.
    """

    def __init__(self, schema: Schema) -> None:
        wide = {view.name for view in schema.views if any(f.length == VARIABLE for f in view.features)}
        self._columns = {view.name: _Columns(view) for view in schema.views if view.name not in wide}
        self._rows = MemoryRowStore()

    def keys(self, view: View) -> list[Key]:
        """Keys of all rows of a view."""
        columns = self._columns.get(view.name)
        return list(self._rows.rows[view.name] if columns is None else columns.slots)

    def read_block(self, view: View, keys: Sequence[Key]) -> Block:
        """The rows of `keys` side by side; missing ones hold defaults."""
        columns = self._columns.get(view.name)
        return pack_rows(view, self._rows.read(view, keys)) if columns is None else columns.read(keys)

    def read(self, view: View, keys: Sequence[Key]) -> list[Row | None]:
        """The rows in the order of the keys; None where there is none."""
        columns = self._columns.get(view.name)
        if columns is None:
            return self._rows.read(view, keys)
        rows = unpack_rows(columns.read(keys))
        return [row if key in columns.slots else None for key, row in zip(keys, rows, strict=True)]

    def write(self, keys: Sequence[Key], block: Block) -> None:
        """Replace rows, unless a stored position is newer (FencedWrite; the other rows are written)."""
        columns = self._columns.get(block.view.name)
        if columns is None:
            self._rows.write(keys, block)
        else:
            columns.write(keys, block)

    def delete(self, view: View, keys: Sequence[Key], position: Sequence[int]) -> None:
        """Remove rows of a view with tables; no others are ever removed."""
        if view.name in self._columns:
            raise TypeError(f"rows of view {view.name} are not removed")
        self._rows.delete(view, keys, position)


class _Columns:
    """The rows of one view."""

    def __init__(self, view: View) -> None:
        self._view, self.slots, self._used = view, dict[Key, int](), DEFAULT_SLOT + 1
        self._columns = {feature.name: self._empty(feature.name, FIRST_SLOTS) for feature in view.features}

    def read(self, keys: Sequence[Key]) -> Block:
        slots = np.array([self.slots.get(key, DEFAULT_SLOT) for key in keys], np.int64)
        return Block(self._view, len(keys), {name: column[slots] for name, column in self._columns.items()}, {})

    def write(self, keys: Sequence[Key], block: Block) -> None:
        slots = np.array([self._slot(key) for key in keys], np.int64)
        new, old = block.ints("position"), self._columns["position"][slots]
        same = (new[:, :2] == old[:, :2]).all(axis=1)
        fenced = (new[:, 0] < old[:, 0]) | (same & (new[:, 2] < old[:, 2]))
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
