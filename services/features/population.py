"""Population features of items, categories and brands at a request's time: popularity, repeat engagement, usual prices.

Pure functions of activity; knows nothing of users or requests.
"""

import numpy as np
from numpy.typing import NDArray

from services.features.config import DAY_S, FeatureConfig
from services.features.decay import decay_factors
from services.features.item_columns import PrecomputedActivity, Singles
from services.features.rows import Block, Floats, counts_by_type

PRIOR_RETURNS = 0.25
"""Prior repeat engagements in one half-life at risk, added to those observed."""


def total_names(config: FeatureConfig) -> tuple[str, ...]:
    """Names of columns about engagement: logs of 1 + decayed engagement, then of 1 + decayed impressions."""
    return tuple(f"{kind}_{h:g}s" for kind in ("engagement", "impression") for h in config.half_lives_s)


def repeat_names(config: FeatureConfig) -> tuple[str, ...]:
    """Names of the columns of `population_features` after the totals: repeat engagement and its rate."""
    return (*(f"repeat_engagement_{h:g}s" for h in config.half_lives_s), "unique_users", "returns_per_day")


def population_features(config: FeatureConfig, time_s: float, activity: PrecomputedActivity) -> tuple[Singles, Singles]:
    """Features of activity [R] at `time_s`, seconds since 1970.

    Returns:
        Columns [R, 3 * half-lives + 2], named by `total_names` and `repeat_names`, logs of 1 + what they name; and
        engagements per day of a user who engaged before, [R].
    """
    count = len(config.half_lives_s)
    columns = np.empty((3 * count + 2, len(activity)), np.float32)
    decay_sums(config, time_s - activity.time_s, activity.values[:, : 3 * count], columns[: 3 * count])
    columns[-2] = activity.unique_users
    rate = _returns_per_day(config.half_lives_s[-1], columns[count - 1], columns[3 * count - 1], activity.unique_users)
    columns[-1] = rate
    return np.ascontiguousarray(np.log1p(columns, out=columns).T), rate


def decay_sums(config: FeatureConfig, elapsed_s: Floats, sums: Singles, out: Singles) -> None:
    """Decay sums [R, kinds * half-lives] by `elapsed_s` [R] into out [kinds * half-lives, R].

    Rows are the last axis, since numpy is slow over short axes.
    """
    count, rows = len(config.half_lives_s), len(elapsed_s)
    halvings = np.multiply.outer(-1.0 / np.asarray(config.half_lives_s), np.maximum(elapsed_s, 0.0))
    by_kind = sums.T.reshape(-1, count, rows)
    # Halvings are few, or nothing remains: single precision is exact enough, and twice as fast.
    np.multiply(by_kind, np.exp2(halvings.astype(np.float32)), out=out.reshape(-1, count, rows))


def decay_counts(config: FeatureConfig, time_s: float, block: Block) -> Floats:
    """Counts of any view decayed to `time_s`, [rows, types, half-lives]."""
    counts = counts_by_type(block, len(config.half_lives_s))
    result: Floats = counts * decay_factors(time_s - block.floats("time_s"), config.half_lives_s)[:, None, :]
    return result


def shares(values: NDArray[np.floating], axis: int = -1) -> Floats:
    """Values as shares of their sum along an axis; 0 where the sum is 0."""
    total = values.sum(axis=axis, keepdims=True)
    result: Floats = values / np.where(total > 0, total, 1.0)
    return result


def _returns_per_day(half_life_s: float, engaged: Singles, repeat: Singles, unique_users: Singles) -> Singles:
    """Repeat engagements per day of a user who engaged before, in the recent past: [rows].

    Decayed repeat engagements over decayed time at risk. A user whose first engagement was at time f has been at risk
    for the integral of 2^(-(t - s) / h) over s from f to t, which is h / ln 2 * (1 - 2^(-(t - f) / h)); summed over
    users that is h / ln 2 * (unique_users - decayed first engagements). The prior is one user with one repeat
    engagement per four half-lives.
    """
    firsts = np.maximum(engaged - repeat, 0.0)
    risk_days = float(half_life_s / np.log(2) / DAY_S) * np.maximum(unique_users - firsts, 0.0)
    result: Singles = (repeat + PRIOR_RETURNS) / (risk_days + half_life_s / DAY_S)
    return result
