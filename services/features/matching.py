"""Match tables of users against all candidates at once: a user's history with each candidate and its facets.

The features of a table's entries are computed first, once per entry; then they are gathered for every candidate, from
row 0 (zeros) where the user has no entry. Knows tables and candidates; knows nothing of where rows come from.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from services.features.config import DAY_S, FeatureConfig, TableName
from services.features.decay import decay_factors
from services.features.feature_rows import FeatureRows, SortedKeys
from services.features.item_columns import Singles
from services.features.rows import Block, Floats, Ints
from services.features.tables import Table, read_table

MAX_DENSE_CELLS = 1 << 20
"""Up to this many (row, key) cells, a look-up uses a dense index array, which is faster than a binary search."""

MIN_PRICE_COUNT = 1e-9
"""Smaller decayed numbers of prices count as none."""


@dataclass(frozen=True)
class TableLookup:
    """Entries of a table matched to (row, key) pairs.

    Args:
        table: [E] the entries.
        entry_index: [...] 1 + the entry of each (row, key) that was looked up, 0 where there is none.
    """

    table: Table
    entry_index: Ints | NDArray[np.int32]

    def gather(self, features: NDArray[np.floating]) -> Singles:
        """Features [E, K] of the entries for every pair, zeros where there is no entry: [..., K]."""
        padded = np.zeros((len(features) + 1, features.shape[1]), np.float32)
        padded[1:] = features
        return padded.take(self.entry_index, axis=0)


def lookup(
    config: FeatureConfig, block: Block, name: TableName, row: Ints, keys: SortedKeys, key: NDArray[np.integer]
) -> TableLookup:
    """Look up (row [...], the key at `key` [...] in the rows of items or facets) in a table of a block's rows."""
    table = read_table(config, block, name)
    if not len(table.row):
        return TableLookup(table, np.zeros(np.broadcast_shapes(row.shape, key.shape), np.int64))
    if not keys.distinct or block.size * len(keys) > MAX_DENSE_CELLS:
        return _lookup_sparse(table, row, keys.in_place()[key])
    at = np.minimum(keys.key.searchsorted(table.key), len(keys) - 1)
    hit = (keys.key.take(at) == table.key).nonzero()[0]
    table = table.take(hit)
    index = np.zeros(block.size * len(keys), np.int32)
    index[table.row * len(keys) + keys.place.take(at.take(hit))] = np.arange(1, len(hit) + 1, dtype=np.int32)
    return TableLookup(table, index.take(row * len(keys) + key))


def _lookup_sparse(table: Table, row: Ints, key: Ints) -> TableLookup:
    entry = table.lookup(row, key)
    used = np.zeros(len(table.row) + 1, np.int64)
    used[entry.ravel()] = 1
    used[-1] = 0  # index -1: pairs without an entry
    number = used.cumsum() * used
    return TableLookup(table.take(np.flatnonzero(used)), number[entry])


def match_names(config: FeatureConfig) -> tuple[str, ...]:
    """Names of the columns that `fill_matches` fills."""
    kinds = tuple(f"{facet}_{h:g}s" for facet in config.facets for h in config.half_lives_s)
    return ("item_known", "item_age_days", *(f"item_{h:g}s" for h in config.half_lives_s), *kinds)


def match_width(config: FeatureConfig) -> int:
    """How many columns `match_names` names."""
    return 2 + len(config.half_lives_s) * (1 + len(config.facets))


def fill_matches(config: FeatureConfig, rows: FeatureRows, item: TableLookup, facet: TableLookup, out: Singles) -> None:
    """Write the features of the entries of each candidate [N, ...] and of its facets [N, ..., F] to out [N, ..., M]."""
    count = len(config.half_lives_s)
    features = np.ones((len(item.table), 2 + count), np.float32)
    features[:, 1] = rows.age_days(item.table.time_s)
    features[:, 2:] = np.log1p(_values(rows, item.table, config.half_lives_s))
    out[..., : 2 + count] = item.gather(features)
    kinds = facet.gather(np.log1p(_values(rows, facet.table, config.half_lives_s)))
    out[..., 2 + count :] = kinds.reshape(*out.shape[:-1], -1)


def habit_names(config: FeatureConfig) -> tuple[str, ...]:
    """Names of the columns that `fill_habits` fills."""
    per_facet = ("age_days", "returns_due", "impression", "price_to_habit")
    return (
        *("user_item_tenure_days", "user_item_returns_due"),
        *(f"user_{facet}_{name}" for name in per_facet for facet in config.facets),
    )


def habit_width(config: FeatureConfig) -> int:
    """How many columns `habit_names` names."""
    return 2 + 4 * len(config.facets)


def fill_habits(
    config: FeatureConfig,
    rows: FeatureRows,
    item: TableLookup,
    facet: TableLookup,
    rates: tuple[Singles, Singles],
    out: Singles,
) -> None:
    """Write the user's recency, exposure and price level per candidate and its facets, over all scenarios, to out.

    Returns due: log(1 + time since the user's last engagement times the population's rate of repeat engagement).

    Args:
        config: feature settings.
        rows: the requests' rows.
        item: look-up of the candidates in the rows of `user`.
        facet: look-up of their facets.
        rates: repeat engagements per day and user of items [I] and of facets [G].
        out: [N, 2 + 4 F].
    """
    levels, item_facet = len(config.facets), rows.pair_facet
    tenure = item.gather(np.stack([rows.age_days(item.table.first_s), _elapsed_days(rows, item.table)], axis=1))
    longest = config.half_lives_s[-1:]
    paid, prices = (_values(rows, facet.table, longest, at)[:, 0] for at in (-2, -1))
    priced = prices > MIN_PRICE_COUNT
    usual = np.where(priced, paid / np.where(priced, prices, 1.0), 0.0)
    times = [rows.age_days(facet.table.time_s), _elapsed_days(rows, facet.table)]
    mine = facet.gather(np.stack([*times, priced, usual], axis=1))
    seen = lookup(config, rows.user, "seen", rows.pair_request[:, None], rows.sorted_facets, item_facet)
    known, last = rows.of_pairs(rows.items.last_price).T[:, :, None]
    out[:, 0] = tenure[:, 0]
    due = out[:, 2 + levels : 2 + 2 * levels]
    np.multiply(tenure[:, 1], rows.of_pairs(rates[0]), out=out[:, 1])
    np.multiply(mine[..., 1], rates[1][item_facet], out=due)
    out[:, 1], due[:] = np.log1p(out[:, 1]), np.log1p(due)
    out[:, 2 : 2 + levels] = mine[..., 0]
    out[:, 2 + 2 * levels : 2 + 3 * levels] = seen.gather(np.log1p(_values(rows, seen.table, longest)))[..., 0]
    np.multiply(last - mine[..., 3], mine[..., 2] * known, out=out[:, 2 + 3 * levels :])


def _elapsed_days(rows: FeatureRows, table: Table) -> Floats:
    days: Floats = np.maximum(rows.time_s - table.time_s, 0.0) / DAY_S
    return days


def _values(rows: FeatureRows, table: Table, half_lives_s: tuple[float, ...], first: int = 0) -> Floats:
    """Values of the entries from number `first` on, one per half-life, at the requests' time: [E, half-lives]."""
    first %= table.value.shape[1]
    remaining = decay_factors(rows.time_s - table.time_s, half_lives_s)
    result: Floats = table.value[:, first : first + len(half_lives_s)] * remaining
    return result
