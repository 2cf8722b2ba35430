"""Bootstrap over users: intervals and p-values of metrics, with the same resamples for every model.

A resample is a row of counts: how often each user was drawn. A metric holds sums per user, and gives its value under
any counts; a row of ones gives the metric itself. Source: Efron and Tibshirani (1993).
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import wilcoxon

from export.evaluation.groups import Floats, Ints, divide

CONFIDENCE = 0.95


def user_counts(users: int, resamples: int, seed: int) -> Floats:
    """How often each user counts [1 + resamples, users]: once in row 0, as drawn in the others."""
    drawn = np.random.default_rng(seed).multinomial(users, np.full(users, 1.0 / users), size=resamples)
    return np.concatenate([np.ones((1, users)), drawn.astype(np.float64)])


@dataclass(frozen=True)
class RatioMetric:
    """A metric that is a ratio of two sums over users: `numerator` and `denominator` are per user [U]."""

    numerator: Floats
    denominator: Floats

    def resample(self, counts: Floats) -> Floats:
        """The metric [B] under counts [B, U]; NaN where the denominator is 0."""
        return divide(counts @ self.numerator, counts @ self.denominator)


@dataclass(frozen=True)
class EceMetric:
    """ECE with fixed bins: `excess` [U, bins] is sum of (label - probability), `rows` [U]."""

    excess: Floats
    rows: Floats

    def resample(self, counts: Floats) -> Floats:
        """The metric [B] under counts [B, U]."""
        return divide(np.abs(counts @ self.excess).sum(axis=1), counts @ self.rows)


@dataclass(frozen=True)
class AucMetric:
    """AUC: users of positives, users of negatives by rising score, and the number of negatives below each positive.

    Args:
        positive: [P] user codes.
        negative: [N] user codes by rising score.
        below: [P] negatives with a lower score.
        upto: [P] negatives with a lower or equal score.
    """

    positive: Ints
    negative: Ints
    below: Ints
    upto: Ints

    @classmethod
    def build(cls, label: Ints, score: Floats, user: Ints) -> "AucMetric":
        """Sort once; each resample is then a cumulative sum."""
        positive, negative = label == 1, label == 0
        order = np.argsort(score[negative], kind="stable")
        lower = score[negative][order]
        below, upto = (np.searchsorted(lower, score[positive], side) for side in ("left", "right"))
        return cls(user[positive], user[negative][order], below, upto)

    def resample(self, counts: Floats) -> Floats:
        """The metric [B] under counts [B, U]; NaN with one class."""
        result = np.full(len(counts), np.nan)
        reached = np.zeros(len(self.negative) + 1)
        for number, count in enumerate(counts):
            np.cumsum(count[self.negative], out=reached[1:])
            weight = count[self.positive]
            pairs = weight.sum() * reached[-1]
            if pairs:
                result[number] = weight @ (reached[self.below] + reached[self.upto]) / (2 * pairs)
        return result


def percentile_interval(resampled: Floats) -> tuple[float, float]:
    """Percentile interval of resampled values [B]; NaN if all are NaN."""
    known = resampled[~np.isnan(resampled)]
    if not len(known):
        return float("nan"), float("nan")
    tail = 50 * (1 - CONFIDENCE)
    low, high = np.percentile(known, [tail, 100 - tail])
    return float(low), float(high)


def estimate(values: Floats) -> dict[str, Any]:
    """An estimate as metrics.json holds it, of values [seeds, 1 + B]: the mean over seeds with its interval."""
    mean, seeds = values.mean(axis=0), values[:, 0]
    low, high = percentile_interval(mean[1:])
    numbers = {"value": float(mean[0]), "low": low, "high": high}
    deviation = float(seeds.std(ddof=1)) if len(seeds) > 1 else None
    return {
        **{name: json_number(value) for name, value in numbers.items()},
        "seeds": [json_number(float(value)) for value in seeds],
        "deviation": json_number(deviation),
    }


def json_number(value: float | None) -> float | None:
    """None for NaN, which JSON lacks."""
    return None if value is None or np.isnan(value) else float(value)


def p_value(resampled: Floats) -> float:
    """Two-sided bootstrap p-value of a difference [B] from 0: at least 2 / (B + 1), so it needs many resamples.

    NaN if all are NaN.

    Source: Davison and Hinkley (1997), 4.2.
    """
    known = resampled[~np.isnan(resampled)]
    if not len(known):
        return float("nan")
    side = min((known <= 0).sum(), (known >= 0).sum()) + 1
    return float(min(1.0, 2 * side / (len(known) + 1)))


def wilcoxon_p(first: Floats, second: Floats) -> float:
    """Two-sided p-value of the signed-rank test over users' values [U]; NaN where a user has none.

    1 if no user differs. By the normal approximation, with ties. Source: Wilcoxon (1945).
    """
    difference = first - second
    known = difference[~np.isnan(difference)]
    return float(wilcoxon(known, method="asymptotic").pvalue) if (known != 0).any() else 1.0
