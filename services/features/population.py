"""What everybody does with items, categories and brands, at a request's time: popularity, returns, usual prices.

Pure functions of activity rows; knows nothing of users or requests.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from services.features.config import DAY_S, EVENT_TYPES, FeatureConfig
from services.features.decay import factors
from services.features.rows import Block, Floats

PRIOR_RETURNS = 0.25
"""Returns in one half-life at risk that count beside those seen."""


@dataclass(frozen=True)
class Population:
    """Activity of R items or facets at one time.

    Args:
        totals: [R, 2 * half-lives] log(1 + decayed engagement), then log(1 + decayed impressions).
        returning: [R, half-lives] decayed engagement of users who had engaged before.
        holders: [R] users who ever engaged.
        return_rate: [R] how often a holder comes back, per day.
        usual_price: [R] decayed mean of log(1 + price paid), 0 if no price is known.
        price_known: [R] whether one is.
    """

    totals: Floats
    returning: Floats
    holders: Floats
    return_rate: Floats
    usual_price: Floats
    price_known: NDArray[np.bool_]

    @property
    def buyers(self) -> Floats:
        """Who comes back, as logs, columns as `buyer_names`: [R, half-lives + 2]."""
        return np.log1p(np.column_stack([self.returning, self.holders, self.return_rate]))


def total_names(config: FeatureConfig) -> tuple[str, ...]:
    """Names of the columns of `Population.totals`."""
    return tuple(f"{kind}_{h:g}s" for kind in ("engagement", "impression") for h in config.half_lives_s)


def buyer_names(config: FeatureConfig) -> tuple[str, ...]:
    """Names of the columns of `Population.buyers`."""
    return (*(f"returning_{h:g}s" for h in config.half_lives_s), "holders", "returns_per_day")


def population(config: FeatureConfig, time_s: float, block: Block) -> Population:
    """Rows of `item_activity` or `facet_activity` at `time_s`, seconds since 1970."""
    engaged, shown = engagement(config, time_s, block)
    returning = block.floats("returning") * factors(time_s - block.floats("time_s"), config.half_lives_s)
    rate = _return_rate(config.half_lives_s[-1], engaged[:, -1], returning[:, -1], block.floats("holders"))
    paid, prices = block.floats("paid").T
    usual = paid / np.where(prices > 0, prices, 1.0)
    totals = np.log1p(np.concatenate([engaged, shown], axis=1))
    return Population(totals, returning, block.floats("holders"), rate, usual, prices > 0)


def decayed_counts(config: FeatureConfig, time_s: float, block: Block) -> Floats:
    """Counts of any view at `time_s`, [rows, types, half-lives]."""
    counts = block.floats("counts").reshape(block.size, len(EVENT_TYPES), len(config.half_lives_s))
    result: Floats = counts * factors(time_s - block.floats("time_s"), config.half_lives_s)[:, None, :]
    return result


def engagement(config: FeatureConfig, time_s: float, block: Block) -> tuple[Floats, Floats]:
    """Decayed engagement and decayed impressions of any view, [rows, half-lives] each."""
    counts = decayed_counts(config, time_s, block)
    weights = np.array([config.engagement.get(kind, 0.0) for kind in EVENT_TYPES])
    return np.einsum("rth,t->rh", counts, weights), counts[:, EVENT_TYPES.index("impression")]


def shares(values: Floats, axis: int = -1) -> Floats:
    """Values as shares of their sum along an axis; 0 where the sum is 0."""
    total = values.sum(axis=axis, keepdims=True)
    result: Floats = values / np.where(total > 0, total, 1.0)
    return result


def _return_rate(half_life_s: float, engaged: Floats, returning: Floats, holders: Floats) -> Floats:
    """How often someone who engaged before comes back, per day, in the recent past: [rows].

    Decayed returns over decayed time at risk. A holder since time f has been at risk for the integral of
    2^(-(t - s) / h) over s from f to t, which is h / ln 2 * (1 - 2^(-(t - f) / h)); summed over holders that is
    h / ln 2 * (holders - decayed first engagements). One holder with one return per four half-lives is the prior.
    """
    firsts = np.maximum(engaged - returning, 0.0)
    risk_days = half_life_s / np.log(2) / DAY_S * np.maximum(holders - firsts, 0.0)
    result: Floats = (returning + PRIOR_RETURNS) / (risk_days + half_life_s / DAY_S)
    return result
