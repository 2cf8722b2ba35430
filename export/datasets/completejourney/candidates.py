"""Labelled candidates of Complete Journey: products promoted where a household shopped, bought or not.

Knows how positives and negatives are selected; pure numpy, no files. A candidate belongs to a household
and a week, and its features must not include that week.
"""

from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt

from export.datasets.completejourney.source import (
    SCENARIO_COUNT,
    WEEKS,
    Array,
    PlacementColumns,
    TransactionColumns,
)

MIN_SALES = 5
TRAIN_WEEKS = 40
VALIDATION_WEEKS = 44
MAX_DRAWS = 30
# Above any product position: the product table has fewer than 2^20 rows.
PRODUCT_BITS = 20
WEEK_BITS = 6


@dataclass(frozen=True)
class CandidateColumns:
    """Labelled rows, sorted by (week, household, product, scenario), so that the order does not reveal labels."""

    household: Array
    week: Array
    product: Array
    scenario: npt.NDArray[np.int8]
    label: npt.NDArray[np.int8]

    def __len__(self) -> int:
        """Number of rows."""
        return len(self.label)

    @property
    def split(self) -> npt.NDArray[np.int8]:
        """0 train, 1 validation, 2 test, by week."""
        return ((self.week > TRAIN_WEEKS).astype(np.int8) + (self.week > VALIDATION_WEEKS)).astype(np.int8)


def select_eligible_products(
    transactions: TransactionColumns, described: npt.NDArray[np.bool_]
) -> npt.NDArray[np.bool_]:
    """Per product: described, and sold at least five times in the training weeks."""
    trained = transactions.product[transactions.week <= TRAIN_WEEKS]
    return described & (np.bincount(trained, minlength=len(described)) >= MIN_SALES)


def build_candidates(
    transactions: TransactionColumns,
    placements: PlacementColumns,
    eligible: npt.NDArray[np.bool_],
    negatives: int,
    rng: np.random.Generator,
) -> CandidateColumns:
    """All positives of `transactions` with their sampled negatives; `eligible` is per product."""
    positives = first_promoted_purchases(transactions, placements, eligible)
    scenario = placements.scenario_of(positives.week, positives.store, positives.product)
    pool = _PromotedPool.of(placements, eligible)
    drawn = _draw_negatives(positives, scenario, pool, _PurchaseIndex.by(transactions), negatives, rng)
    owner, slot = np.nonzero(drawn >= 0)
    row = np.concatenate([np.arange(len(positives)), owner])
    product = np.concatenate([positives.product, drawn[owner, slot]])
    label = np.zeros(len(row), dtype=np.int8)
    label[: len(positives)] = 1
    return _sort_rows(CandidateColumns(positives.household[row], positives.week[row], product, scenario[row], label))


def first_promoted_purchases(
    transactions: TransactionColumns, placements: PlacementColumns, eligible: npt.NDArray[np.bool_]
) -> TransactionColumns:
    """Each household's first purchase, per week and product, of an eligible product on promotion in its store."""
    kept = transactions.where(eligible[transactions.product])
    kept = kept.where(placements.scenario_of(kept.week, kept.store, kept.product) >= 0)
    key = _week_product(kept.household, kept.week, kept.product)
    return kept.where(np.sort(np.unique(key, return_index=True)[1]))


@dataclass(frozen=True)
class _PromotedPool:
    """Eligible promoted products, grouped by week, store and scenario."""

    product: Array
    start: Array
    size: Array
    stores: int

    @classmethod
    def of(cls, placements: PlacementColumns, eligible: npt.NDArray[np.bool_]) -> "_PromotedPool":
        kept = eligible[placements.product]
        group = placements.shelf[kept] * SCENARIO_COUNT + placements.scenario[kept]
        size = np.bincount(group, minlength=(WEEKS + 1) * placements.stores * SCENARIO_COUNT)
        product = placements.product[kept][np.argsort(group, kind="stable")]
        return cls(product, np.cumsum(size) - size, size, placements.stores)

    def draw(self, group: Array, rng: np.random.Generator) -> Array:
        """One product of each group, uniformly."""
        return np.asarray(self.product[self.start[group] + rng.integers(0, self.size[group])])

    def group(self, week: Array, store: Array, scenario: npt.NDArray[np.int8]) -> Array:
        """The group of each (week, store, scenario)."""
        return (week * self.stores + store) * SCENARIO_COUNT + scenario


@dataclass(frozen=True)
class _PurchaseIndex:
    """Index of the products that each household bought in each week."""

    key: Array

    @classmethod
    def by(cls, transactions: TransactionColumns) -> "_PurchaseIndex":
        return cls(np.unique(_week_product(transactions.household, transactions.week, transactions.product)))

    def has(self, household: Array, week: Array, product: Array) -> npt.NDArray[np.bool_]:
        key = _week_product(household, week, product)
        return np.asarray(self.key[np.minimum(np.searchsorted(self.key, key), len(self.key) - 1)] == key)


def _draw_negatives(
    positives: TransactionColumns,
    scenario: npt.NDArray[np.int8],
    pool: _PromotedPool,
    bought: _PurchaseIndex,
    negatives: int,
    rng: np.random.Generator,
) -> Array:
    """Draw products that the household did not buy that week, distinct per row; -1 where draws ran out.

    Each row draws from the products promoted in its week, store and scenario, at most `MAX_DRAWS` times.
    """
    chosen = np.full((len(positives), negatives), -1, dtype=np.int64)
    count = np.zeros(len(positives), dtype=np.int64)
    group = pool.group(positives.week, positives.store, scenario)
    for _ in range(MAX_DRAWS):
        rows = np.flatnonzero(count < negatives)
        if not len(rows):
            break
        drawn = pool.draw(group[rows], rng)
        known = bought.has(positives.household[rows], positives.week[rows], drawn)
        fresh = ~known & (chosen[rows] != drawn[:, None]).all(axis=1)
        rows = rows[fresh]
        chosen[rows, count[rows]] = drawn[fresh]
        count[rows] += 1
    return chosen


def _week_product(household: Array, week: Array, product: Array) -> Array:
    """Household, week and product in one number."""
    return ((household << WEEK_BITS | week) << PRODUCT_BITS) | product


def _sort_rows(rows: CandidateColumns) -> CandidateColumns:
    order = np.lexsort((rows.scenario, rows.product, rows.household, rows.week))
    return CandidateColumns(**{f.name: getattr(rows, f.name)[order] for f in fields(rows)})
