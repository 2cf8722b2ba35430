"""Agreement of two models on the candidates of a request, and its means over requests."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from services.registry.model import Scores

TOP = 10


@dataclass(frozen=True)
class Agreement:
    """Agreement of two models on one request.

    Args:
        score_difference: mean over the candidates of |R - R'|.
        probability_difference: the same of the probabilities.
        rank_correlation: Spearman's, over the candidates; NaN if a model gives all of them the same score.
        top10_overlap: share of the ten best items that both models have; of all items if there are fewer.
    """

    score_difference: float
    probability_difference: float
    rank_correlation: float
    top10_overlap: float


@dataclass(frozen=True)
class ShadowComparison:
    """How a shadow compares with a served version, so far. Means are NaN before the first request.

    Args:
        served: version that answered.
        candidate: version that runs as shadow.
        requests: number of requests compared.
        failed: requests that the candidate failed to score.
        dropped: requests not compared because the queue was full.
        mean: mean agreement; the rank correlation's is over the requests that have one.
    """

    served: str
    candidate: str
    requests: int
    failed: int
    dropped: int
    mean: Agreement


def compare_scores(served: Scores, candidate: Scores) -> Agreement:
    """Agreement of the candidate model with the served one; scores of the same items."""
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
