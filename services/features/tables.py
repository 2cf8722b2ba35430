"""Tables inside user rows: engaged items and facets by key, with first and newest time and decayed sums.

All rows' entries lie side by side, sorted by row, then key. Merging two tables is commutative and
associative up to rounding: the fold of a stream does not depend on its order or on batch borders, as long
as no table overflows. A full table evicts its weakest entries: least engagement, compared at the same time
under the longest half-life (ties: larger key). `FeatureConfig.table_half_lives` lists the tables and their values.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from services.features.config import FeatureConfig, TableName
from services.features.decay import decay_factors, log2_mass
from services.features.rows import Block, Floats, Ints, Ragged

LARGE, FEW = 2048, 8
"""A table of so many entries, and of so many times the entries of another, is not sorted again to add that one."""

_SPREAD = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True)
class Table:
    """Entries of many rows, sorted by row, then key; (row, key) is unique.

    Args:
        row: [E] row of the block.
        key: [E] key of item or facet.
        first_s: [E] time of the first event, seconds since 1970.
        time_s: [E] time of the newest event.
        value: [E, K] decayed sums at time_s, half-lives as of `FeatureConfig.table_half_lives`.
    """

    row: Ints
    key: Ints
    first_s: Floats
    time_s: Floats
    value: Floats

    def __len__(self) -> int:
        return len(self.row)

    def take(self, entries: Ints) -> "Table":
        """The entries at an index."""
        return Table(*(column.take(entries, axis=0) for column in vars(self).values()))

    def lookup(self, row: Ints, key: Ints) -> Ints:
        """Index of the entry of each (row, key) [...], -1 where there is none."""
        place, found = self.find(row, key)
        entry: Ints = np.where(found, place, -1)
        return entry

    def find(self, row: Ints, key: Ints) -> tuple[Ints, NDArray[np.bool_]]:
        """The first entry of each row [...] that is not below the key [...], and whether it has the key."""
        row, key = np.broadcast_arrays(row, key)
        low, end = np.searchsorted(self.row, row), np.searchsorted(self.row, row, "right")
        if not len(self):
            return low, np.zeros(low.shape, bool)
        last, begin, high = len(self) - 1, low, end
        for _ in range(int((end - begin).max(initial=0)).bit_length()):
            middle = (low + high) >> 1
            below = (low < high) & (self.key[np.minimum(middle, last)] < key)
            low, high = np.where(below, middle + 1, low), np.where(below, high, np.minimum(middle, high))
        found: NDArray[np.bool_] = (low < end) & (self.key[np.minimum(low, last)] == key)
        return low, found


def mix_keys(row: Ints, key: Ints) -> NDArray[np.uint64]:
    """One 64-bit number per (row, key), practically unique since keys are hashes: [...]."""
    mixed: NDArray[np.uint64] = key.view(np.uint64) ^ ((row + 1).view(np.uint64) * _SPREAD)
    return mixed


def lookup_sorted(known: NDArray[np.uint64], order: Ints, wanted: NDArray[np.uint64]) -> Ints:
    """`order` at the index of each wanted number [...] in the sorted known ones; -1 where it is absent."""
    if not len(known):
        return np.full(wanted.shape, -1, np.int64)
    at = np.minimum(np.searchsorted(known, wanted), len(known) - 1)
    entry: Ints = np.where(known[at] == wanted, order[at], -1)
    return entry


def read_table(config: FeatureConfig, block: Block, name: TableName) -> Table:
    """The table `name` of a block's rows; first times that were not read are the newest ones."""
    keys, newest, value = (block.ragged[f"{name}_{part}"] for part in ("key", "s", "value"))
    times = block.ragged.get(f"{name}_first_s", newest).values, newest.values
    values = value.values.reshape(-1, len(config.table_half_lives(name)))
    first_s, time_s, values = (column.astype(np.float64, copy=False) for column in (*times, values))
    return Table(keys.row, keys.values.astype(np.int64, copy=False), first_s, time_s, values)


def table_columns(table: Table, name: str, rows: int) -> dict[str, Ragged]:
    """The columns of a block of `rows` rows that hold `table`."""
    lengths = np.bincount(table.row, minlength=rows).astype(np.int64)
    return {
        f"{name}_key": Ragged(table.key, lengths),
        f"{name}_first_s": Ragged(table.first_s, lengths),
        f"{name}_s": Ragged(table.time_s, lengths),
        f"{name}_value": Ragged(table.value.reshape(-1), lengths * table.value.shape[1]),
    }


def merge(old: Table, new: Table, half_lives_s: Sequence[float]) -> Table:
    """The sum of two tables; `new` is in any order and may repeat a (row, key)."""
    if not len(new):
        return old
    if len(old) >= max(LARGE, FEW * len(new)):
        ordered = new.take(np.lexsort((new.key, new.row)))
        if (run_starts(ordered.row) | run_starts(ordered.key)).all():
            return _insert(old, ordered, half_lives_s)
    return _merge_by_sorting(old, new, half_lives_s)


def _insert(old: Table, new: Table, half_lives_s: Sequence[float]) -> Table:
    """The sum of two tables; the second one has few entries, in order, and repeats none."""
    place, found = old.find(new.row, new.key)
    at, hit, miss = place[found], new.take(np.flatnonzero(found)), np.flatnonzero(~found)
    newest = np.maximum(old.time_s[at], hit.time_s)
    total = old.value[at] * decay_factors(newest - old.time_s[at], half_lives_s)
    total += hit.value * decay_factors(newest - hit.time_s, half_lives_s)
    both = zip(vars(old).values(), vars(new.take(miss)).values(), strict=True)
    whole = Table(*(np.concatenate(columns) for columns in both))
    whole.first_s[at], whole.time_s[at], whole.value[at] = np.minimum(old.first_s[at], hit.first_s), newest, total
    return whole.take(np.insert(np.arange(len(old)), place[miss], len(old) + np.arange(len(miss))))


def _merge_by_sorting(old: Table, new: Table, half_lives_s: Sequence[float]) -> Table:
    row, key = np.concatenate([old.row, new.row]), np.concatenate([old.key, new.key])
    order = np.lexsort((key, row))
    row, key = row[order], key[order]
    time_s = np.concatenate([old.time_s, new.time_s])[order]
    value = np.concatenate([old.value, new.value])[order]
    starts = np.flatnonzero(run_starts(row) | run_starts(key))
    first_s = np.minimum.reduceat(np.concatenate([old.first_s, new.first_s])[order], starts)
    newest = np.maximum.reduceat(time_s, starts)
    elapsed = np.repeat(newest, np.diff(starts, append=len(row))) - time_s
    total = np.add.reduceat(value * decay_factors(elapsed, half_lives_s), starts)
    return Table(row[starts], key[starts], first_s, newest, total)


def evict(table: Table, limit: int, strength: Floats, half_life_s: float) -> Table:
    """Keep at most `limit` entries per row, those of the largest `strength` [E]: sums of that half-life."""
    if not len(table.row) or np.bincount(table.row).max() <= limit:
        return table
    strengths = log2_mass(strength, table.time_s, half_life_s)
    order = np.lexsort((table.key, -strengths, table.row))
    return table.take(np.sort(order[rank_in_group(table.row[order]) < limit]))


def rank_in_group(group: Ints) -> Ints:
    """0, 1, 2... within each run of equal values of a sorted array."""
    index = np.arange(len(group))
    rank: Ints = index - np.maximum.accumulate(np.where(run_starts(group), index, 0))
    return rank


def run_starts(group: NDArray[np.generic]) -> NDArray[np.bool_]:
    """Mask of the first element of each run of equal values."""
    first = np.ones(len(group), bool)
    np.not_equal(group[1:], group[:-1], out=first[1:])
    return first
