"""Metrics per group (a user, a request): pure, vectorised over all groups at once.

Groups are given as codes 0..G-1 per row. Knows nothing of models, files or resampling.
"""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def encode_ids(values: NDArray[np.object_]) -> Ints:
    """Codes 0..G-1 of ids [R]."""
    return np.unique(values.astype(str), return_inverse=True)[1].reshape(-1).astype(np.int64)


def group_sum(group: Ints, values: NDArray[np.generic], groups: int) -> Floats:
    """Sum of values [R] per group [G]."""
    return np.bincount(group, values.astype(np.float64), minlength=groups).astype(np.float64)


def divide(numerator: Floats, denominator: Floats) -> Floats:
    """Quotient; NaN where the denominator is 0."""
    result: Floats = np.divide(numerator, denominator, out=np.full(len(numerator), np.nan), where=denominator != 0)
    return result


def ranks(score: Floats, group: Ints) -> Ints:
    """Rank of each row in its group [R], 0 for the highest score.

    One fixed random order breaks ties, so that the order of the rows does not help a model that scores all alike.
    """
    shuffled = np.random.default_rng(0).permutation(len(score))
    order = shuffled[np.lexsort((-score[shuffled], group[shuffled]))]
    result = np.empty(len(order), np.int64)
    result[order] = np.arange(len(order)) - _first(group[order])
    return result


def _first(ordered: Ints) -> Ints:
    """Index of the first row of each row's run of equal values."""
    starts = np.r_[True, ordered[1:] != ordered[:-1]]
    index = np.where(starts, np.arange(len(ordered)), 0)
    return np.maximum.accumulate(index)


def group_auc(label: Ints, score: Floats, group: Ints, groups: int) -> Floats:
    """AUC within each group [G], by the rank sum, ties count half; NaN in groups of one class.

    Source: Mann and Whitney (1947).
    """
    order = np.lexsort((score, group))
    ordered = group[order]
    new_tie = np.r_[True, (ordered[1:] != ordered[:-1]) | (score[order][1:] != score[order][:-1])]
    tie = np.cumsum(new_tie) - 1
    middle = np.bincount(tie, np.arange(len(order))) / np.bincount(tie)
    rank = middle[tie] - _first(ordered) + 1.0
    positives = group_sum(group, label, groups)
    negatives = np.bincount(group, minlength=groups) - positives
    rank_sum = group_sum(ordered, rank * label[order], groups)
    pairs = positives * negatives
    wins = rank_sum - positives * (positives + 1) / 2
    return divide(wins, pairs)


def comparable(label: Ints, group: Ints, groups: int) -> NDArray[np.bool_]:
    """Groups [G] with a positive and a negative: in others, of one row for example, every order is the best one."""
    positives = group_sum(group, label, groups)
    return np.asarray((positives > 0) & (positives < np.bincount(group, minlength=groups)))


def group_ndcg(k: int, label: Ints, rank: Ints, group: Ints, groups: int) -> Floats:
    """NDCG@k of each group [G]: binary gain, discount 1 / log2(rank + 2); NaN without rows of both classes.

    Source: Jarvelin and Kekalainen (2002).
    """
    gain = group_sum(group, _discounts(k, rank) * label, groups)
    ideal = np.concatenate([[0.0], np.cumsum(_discounts(k, np.arange(k)))])
    best = ideal[np.minimum(group_sum(group, label, groups).astype(np.int64), k)]
    return np.where(comparable(label, group, groups), divide(gain, best), np.nan)


def _discounts(k: int, rank: Ints) -> Floats:
    return np.where(rank < k, 1.0 / np.log2(rank + 2.0), 0.0)


def group_recall(k: int, label: Ints, rank: Ints, group: Ints, groups: int) -> Floats:
    """Share of each group's positives among its first k [G]; NaN without rows of both classes."""
    positives = group_sum(group, label, groups)
    hits = group_sum(group, label * (rank < k), groups)
    return np.where(comparable(label, group, groups), divide(hits, positives), np.nan)


def group_reciprocal_rank(label: Ints, rank: Ints, group: Ints, groups: int) -> Floats:
    """1 / (1 + rank) of each group's first positive [G]; NaN without rows of both classes."""
    best = np.zeros(groups)
    positive = label == 1
    np.maximum.at(best, group[positive], 1.0 / (rank[positive] + 1.0))
    return np.where(comparable(label, group, groups), best, np.nan)


def group_diversity(k: int, rank: Ints, group: Ints, vector: Ints, vectors: Floats, groups: int) -> Floats:
    """Mean of 1 - cosine over the pairs of each group's first k [G]; NaN with fewer than two rows.

    Args:
        k: length of the list.
        rank: [R] rank within the group.
        group: [R] group codes.
        vector: [R] row of `vectors`.
        vectors: [V, D] unit vectors; a zero vector (an item without text) has cosine 0 with every other.
        groups: number of groups.
    """
    listed = rank < k
    size = np.bincount(group[listed], minlength=groups).astype(np.float64)
    total = np.zeros((groups, vectors.shape[1]))
    np.add.at(total, group[listed], vectors[vector[listed]])
    squares = group_sum(group[listed], (vectors**2).sum(axis=1)[vector[listed]], groups)
    pairs = size * (size - 1)
    similar = (total**2).sum(axis=1) - squares
    return 1.0 - divide(similar, pairs)
