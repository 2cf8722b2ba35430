"""Tables inside rows: what a user engaged with, by key, with the newest time and decayed engagement.

All rows' entries lie side by side, sorted by row, then key. Merging two tables is commutative and
associative up to rounding: the fold of a stream does not depend on its order or on batch borders, as long
as no table overflows. A full table drops its weakest entries: least engagement, compared at the same time
under the longest half-life (ties: larger key).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from services.features.decay import factors, mass
from services.features.rows import Block, Floats, Ints, Ragged

_SPREAD = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True)
class Table:
    """Entries of many rows: row [E], key [E], time_s [E], value [E, H]; (row, key) is unique."""

    row: Ints
    key: Ints
    time_s: Floats
    value: Floats

    @cached_property
    def _sorted(self) -> tuple[NDArray[np.uint64], Ints]:
        mixed = mix(self.row, self.key)
        order = np.argsort(mixed)
        return mixed[order], order

    def find(self, row: Ints, key: Ints) -> Ints:
        """Index of the entry of each (row, key) [...], -1 where there is none."""
        if not len(self.row):
            return np.full(np.broadcast_shapes(row.shape, key.shape), -1, np.int64)
        mixed, order = self._sorted
        wanted = mix(row, key)
        place = np.minimum(np.searchsorted(mixed, wanted), len(mixed) - 1)
        found: Ints = np.where(mixed[place] == wanted, order[place], -1)
        return found


def mix(row: Ints, key: Ints) -> NDArray[np.uint64]:
    """One 64-bit number per (row, key), as good as unique since keys are hashes: [...]."""
    mixed: NDArray[np.uint64] = key.view(np.uint64) ^ ((row + 1).view(np.uint64) * _SPREAD)
    return mixed


def table_of(block: Block, name: str, half_lives: int) -> Table:
    """The table `name` of a block's rows."""
    key, time_s, value = (block.ragged[f"{name}_{part}"] for part in ("key", "s", "value"))
    values = value.values.reshape(-1, half_lives).astype(np.float64, copy=False)
    return Table(key.row, key.values.astype(np.int64, copy=False), time_s.values.astype(np.float64, copy=False), values)


def columns_of(table: Table, name: str, rows: int) -> dict[str, Ragged]:
    """The columns of a block of `rows` rows that hold `table`."""
    lengths = np.bincount(table.row, minlength=rows).astype(np.int64)
    return {
        f"{name}_key": Ragged(table.key, lengths),
        f"{name}_s": Ragged(table.time_s, lengths),
        f"{name}_value": Ragged(table.value.reshape(-1), lengths * table.value.shape[1]),
    }


def merge(old: Table, new: Table, half_lives_s: Sequence[float]) -> Table:
    """The sum of two tables; `new` may repeat a (row, key)."""
    row, key = np.concatenate([old.row, new.row]), np.concatenate([old.key, new.key])
    if not len(row):
        return old
    order = np.lexsort((key, row))
    row, key = row[order], key[order]
    time_s = np.concatenate([old.time_s, new.time_s])[order]
    value = np.concatenate([old.value, new.value])[order]
    starts = np.flatnonzero(np.r_[True, (row[1:] != row[:-1]) | (key[1:] != key[:-1])])
    newest = np.maximum.reduceat(time_s, starts)
    elapsed = np.repeat(newest, np.diff(np.r_[starts, len(row)])) - time_s
    total = np.add.reduceat(value * factors(elapsed, half_lives_s), starts)
    return Table(row[starts], key[starts], newest, total)


def evict(table: Table, limit: int, half_lives_s: Sequence[float]) -> Table:
    """At most `limit` entries per row; the weakest leave."""
    if not len(table.row) or np.bincount(table.row).max() <= limit:
        return table
    strength = mass(table.value[:, -1], table.time_s, half_lives_s[-1])
    order = np.lexsort((table.key, -strength, table.row))
    keep = np.sort(order[rank_in_group(table.row[order]) < limit])
    return Table(table.row[keep], table.key[keep], table.time_s[keep], table.value[keep])


def rank_in_group(group: Ints) -> Ints:
    """0, 1, 2... within each run of equal values of a sorted array."""
    index = np.arange(len(group))
    starts = np.r_[True, group[1:] != group[:-1]] if len(group) else np.zeros(0, bool)
    rank: Ints = index - np.maximum.accumulate(np.where(starts, index, 0))
    return rank
