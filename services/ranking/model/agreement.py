"""How far two models agree on the candidates of a request, and the means of it over requests."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from services.registry.model import Scores

TOP = 10


@dataclass(frozen=True)
class Agreement:
    """Of one request.

    Args:
        score_difference: mean over the candidates of |R - R'|.
        probability_difference: the same of the probabilities.
        rank_correlation: Spearman's, over the candidates; NaN where a model gives all of them one score.
        top10_overlap: share of the ten best that are the same items; of all, where there are fewer.
    """

    score_difference: float
    probability_difference: float
    rank_correlation: float
    top10_overlap: float


@dataclass(frozen=True)
class Comparison:
    """What a shadow was found to do, so far. Means are NaN before the first request.

    Args:
        served: version that answered.
        candidate: version in the shadow.
        requests: compared.
        failed: that the candidate could not score.
        dropped: not compared because the queue was full.
        mean: of the agreements; of the rank correlations, over the requests that have one.
    """

    served: str
    candidate: str
    requests: int
    failed: int
    dropped: int
    mean: Agreement


def agreement(served: Scores, candidate: Scores) -> Agreement:
    """How far the candidate agrees with what served; scores of the same candidates."""
    count = min(TOP, len(served.score))
    best = [set(np.argsort(-scores.score, kind="stable")[:count].tolist()) for scores in (served, candidate)]
    return Agreement(
        score_difference=float(np.abs(served.score - candidate.score).mean()),
        probability_difference=float(np.abs(served.probability - candidate.probability).mean()),
        rank_correlation=rank_correlation(served.score, candidate.score),
        top10_overlap=len(best[0] & best[1]) / count,
    )


def rank_correlation(first: NDArray[np.floating], second: NDArray[np.floating]) -> float:
    """Spearman's rank correlation with mean ranks for ties; NaN where one side is constant (Kendall, 1948)."""
    ranks = [_mean_ranks(values) for values in (first, second)]
    centred = [rank - rank.mean() for rank in ranks]
    norm = np.sqrt((centred[0] ** 2).sum() * (centred[1] ** 2).sum())
    return float((centred[0] * centred[1]).sum() / norm) if norm > 0 else float("nan")


def _mean_ranks(values: NDArray[np.floating]) -> NDArray[np.float64]:
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    ranks: NDArray[np.float64] = (np.cumsum(counts) - (counts - 1) / 2)[place]
    return ranks
