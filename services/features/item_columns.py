"""Precomputed item columns: the part of item features that depends on neither request time nor user.

Computed once per version of a row. The server keeps the columns in memory, the trainer computes them for a week at a
time; decay and matching start from them. Single precision except for times. Pure functions of rows.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from services.features.attributes import MAX_ATTRIBUTE, expand_categories, transform_attributes
from services.features.config import FeatureConfig
from services.features.event_types import IMPRESSION
from services.features.events import engagement_by_type
from services.features.rows import Block, Floats, Ints, counts_by_type

Singles = NDArray[np.float32]
Halves = NDArray[np.float16]


@dataclass(frozen=True)
class ColumnSet:
    """Columns of equal length. Few wide fields, so that taking rows takes few calls."""

    def __len__(self) -> int:
        return len(next(iter(vars(self).values())))

    def take(self, rows: NDArray[np.integer]) -> Self:
        """The rows at an index; a copy."""
        return type(self)(*[column.take(rows, axis=0) for column in vars(self).values()])

    def resize(self, size: int) -> Self:
        """A copy with `size` rows; new rows are zeros."""

        def copy(column: NDArray[np.generic]) -> NDArray[np.generic]:
            result = np.zeros((size, *column.shape[1:]), column.dtype)
            result[: len(column)] = column[:size]
            return result

        return type(self)(*map(copy, vars(self).values()))

    def put(self, rows: NDArray[np.integer], source: Self) -> None:
        """Overwrite rows by those of `source`, in place."""
        for name, column in vars(self).items():
            column[rows] = getattr(source, name)


@dataclass(frozen=True)
class PrecomputedActivity(ColumnSet):
    """Activity of all users with R items or facets.

    Args:
        time_s: [R] reference time of the sums, seconds since 1970.
        values: [R, 3 * half-lives + O + 3] decayed engagement, impressions, and engagement of users who had engaged
            before; sums of opinions; users who ever engaged; decayed mean of log(1 + price paid), 0 if no price is
            known; whether one is.
    """

    time_s: Floats
    values: Singles

    def opinions(self, config: FeatureConfig) -> Singles:
        """[R, O] sums of opinions."""
        return self.values[:, 3 * len(config.half_lives_s) : -3]

    @property
    def unique_users(self) -> Singles:
        """[R] users who ever engaged."""
        return self.values[:, -3]

    @property
    def usual_price(self) -> Singles:
        """[R, 2] the usual price as a log, and whether one is known."""
        return self.values[:, -2:]


@dataclass(frozen=True)
class PrecomputedItems(ColumnSet):
    """R items.

    Args:
        key: [R] keys of the ids.
        facet: [R, F] index of each facet in the facets' activity.
        text: [R, D] text vectors, half precision; 0 where there is none of the given encoder.
        created_s: [R] seconds since 1970.
        fixed: [R, 4 + A] price known, log price, last price known, log last price; transformed attributes, then
            columns of categories.
    """

    key: Ints
    facet: NDArray[np.integer]
    text: Halves
    created_s: Floats
    fixed: Singles

    @property
    def last_price(self) -> Singles:
        """[R, 2] whether the price last paid is known, and log(1 + price)."""
        return self.fixed[:, 2:4]


@dataclass(frozen=True)
class PrecomputedItemScenarios(ColumnSet):
    """R items in scenarios.

    Args:
        times_s: [R, 2] reference time of the sums, and time of the newest update of attributes, seconds since 1970.
        values: [R, 2 * half-lives + A + O] decayed engagement and impressions; declared attributes, untransformed;
            sums of opinions.
    """

    times_s: Floats
    values: Singles

    def attributes(self, config: FeatureConfig) -> Singles:
        """[R, A] declared attributes, untransformed."""
        first = 2 * len(config.half_lives_s)
        return self.values[:, first : first + len(config.attributes_of("item_scenario"))]

    def opinions(self, config: FeatureConfig) -> Singles:
        """[R, O] sums of opinions."""
        return self.values[:, self.values.shape[1] - config.opinion_width :]


def precompute_items(
    config: FeatureConfig, encoder: int, key: Ints, facet: NDArray[np.integer], item: Block, activity: Block
) -> PrecomputedItems:
    """Rows of `item` and `item_activity`; `facet` [R, F] is the index of their facets' activity."""
    price, last = item.floats("price"), activity.floats("last_value")
    same_encoder = (item.ints("encoder") == encoder)[:, None]
    prices = [price >= 0, np.log1p(np.maximum(price, 0.0)), last >= 0, np.log1p(np.maximum(last, 0.0))]
    attributes = [transform_attributes(item.floats("attributes"), config.numbers_of("item"))]
    if declared := config.categories_of("item"):
        attributes.append(expand_categories(declared, item.ints("category_keys")))
    return PrecomputedItems(
        key=key,
        facet=facet.astype(np.int32, copy=False),
        text=np.where(same_encoder, item.floats("text_vector"), 0.0).astype(np.float16),
        created_s=item.floats("created_s"),
        fixed=np.concatenate([np.column_stack(prices), *attributes], axis=1).astype(np.float32),
    )


def precompute_activity(config: FeatureConfig, activity: Block) -> PrecomputedActivity:
    """Rows of `item_activity` or `facet_activity`."""
    paid, prices = activity.floats("paid").T
    known = prices > 0
    others = [activity.floats("unique_users"), paid / np.where(known, prices, 1.0), known]
    sums = [_engagement(config, activity), activity.floats("repeat_engagement"), *_opinions(activity)]
    values = np.concatenate([*sums, np.column_stack(others)], axis=1)
    return PrecomputedActivity(activity.floats("time_s"), values.astype(np.float32))


def precompute_item_scenarios(config: FeatureConfig, pair: Block, activity: Block) -> PrecomputedItemScenarios:
    """Rows of `item_scenario` and `item_scenario_activity`."""
    times = np.column_stack([activity.floats("time_s"), pair.floats("updated_s")])
    attributes = np.clip(pair.floats("attributes"), -MAX_ATTRIBUTE, MAX_ATTRIBUTE)
    values = np.concatenate([_engagement(config, activity), attributes, *_opinions(activity)], axis=1)
    return PrecomputedItemScenarios(times, values.astype(np.float32))


def _opinions(activity: Block) -> list[Floats]:
    """The sums of opinions at the time of the row, where the schema has them."""
    return [activity.floats("opinions")] if "opinions" in activity.fixed else []


def _engagement(config: FeatureConfig, activity: Block) -> Floats:
    """Engagement, then impressions, at the time of the row: [R, 2 * half-lives]."""
    counts = counts_by_type(activity, len(config.half_lives_s))
    engaged = np.einsum("rth,t->rh", counts, engagement_by_type(config))
    return np.concatenate([engaged, counts[:, IMPRESSION]], axis=1)
