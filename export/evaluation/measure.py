"""All metrics of one model's probabilities on one set of rows, as functions of how often each user counts.

Knows the definition of each metric; knows nothing of models, splits or files.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from export.evaluation.bootstrap import AucMetric, EceMetric, RatioMetric
from export.evaluation.calibration import BINS, equal_mass_bins
from export.evaluation.groups import (
    Floats,
    Ints,
    divide,
    group_auc,
    group_diversity,
    group_ndcg,
    group_recall,
    group_reciprocal_rank,
    group_sum,
    ranks,
)
from export.evaluation.metrics import row_log_losses

K = 10
"""Length of a recommended list."""

METRICS = (
    "auc",
    "gauc",
    "ndcg_at_10",
    "log_loss",
    "accuracy",
    "precision",
    "recall",
    "f1",
    "recall_at_10",
    "mrr",
    "ece",
    "coverage",
    "intra_list_diversity",
)


@dataclass(frozen=True)
class GroupedRows:
    """Rows to measure on: labels, and the users, requests and items that group them.

    Args:
        label: [R] 0 or 1.
        user: [R] user codes below `users`.
        request: [R] request codes 0..Q-1, one user each.
        item: [R] item codes.
        text: [R] rows of `vectors`.
        vectors: [V, D] unit text vectors, or 0.
        users: number of users that resampling draws from.
    """

    label: Ints
    user: Ints
    request: Ints
    item: Ints
    text: Ints
    vectors: Floats
    users: int


def measure(
    rows: GroupedRows, probability: Floats, threshold: float, counts: Floats
) -> tuple[dict[str, Floats], Floats]:
    """Every metric [B] under counts [B, U], and each user's AUC [U].

    Rows with a probability of at least `threshold` are classified as positive. Coverage has no resampled values (NaN):
    a resample lacks a third of the users, so it shows fewer items than all users.
    """
    per_user = group_auc(rows.label, probability, rows.user, rows.users)
    metrics: dict[str, Floats] = {"auc": AucMetric.build(rows.label, probability, rows.user).resample(counts)}
    metrics["ece"] = ece_metric(rows, probability).resample(counts)
    rank = ranks(probability, rows.request)
    ratios = _row_ratios(rows, probability, threshold) | _request_ratios(rows, rank)
    ratios["gauc"] = _weighted(per_user, group_sum(rows.user, np.ones(len(rows.user)), rows.users))
    metrics |= _resample_ratios(ratios, counts)
    metrics["coverage"] = np.full(len(counts), np.nan)
    metrics["coverage"][0] = _coverage(rows, rank)
    return {name: metrics[name] for name in METRICS}, per_user


def _resample_ratios(ratios: Mapping[str, RatioMetric], counts: Floats) -> dict[str, Floats]:
    """All ratios under counts, in two matrix products."""
    upper = counts @ np.stack([ratio.numerator for ratio in ratios.values()], axis=1)
    lower = counts @ np.stack([ratio.denominator for ratio in ratios.values()], axis=1)
    return {name: divide(upper[:, column], lower[:, column]) for column, name in enumerate(ratios)}


def ece_metric(rows: GroupedRows, probability: Floats) -> EceMetric:
    """Sums of ECE; the bins are those of all rows."""
    cell = rows.user * BINS + equal_mass_bins(probability)
    excess = group_sum(cell, rows.label - probability, rows.users * BINS).reshape(rows.users, BINS)
    return EceMetric(excess, group_sum(rows.user, np.ones(len(rows.user)), rows.users))


def _row_ratios(rows: GroupedRows, probability: Floats, threshold: float) -> dict[str, RatioMetric]:
    """Metrics that are means over rows, or shares of rows at the threshold."""
    classified, positive = probability >= threshold, rows.label == 1

    def per_user(values: NDArray[Any]) -> Floats:
        return group_sum(rows.user, values, rows.users)

    count, hits = per_user(np.ones(len(classified))), per_user(classified & positive)
    predicted, actual = per_user(classified), per_user(positive)
    return {
        "log_loss": RatioMetric(per_user(row_log_losses(positive, probability)), count),
        "accuracy": RatioMetric(per_user(classified == positive), count),
        "precision": RatioMetric(hits, predicted),
        "recall": RatioMetric(hits, actual),
        "f1": RatioMetric(2 * hits, predicted + actual),
    }


def _request_ratios(rows: GroupedRows, rank: Ints) -> dict[str, RatioMetric]:
    """Metrics that are means over requests."""
    requests = int(rows.request.max()) + 1
    owner = np.zeros(requests, np.int64)
    owner[rows.request] = rows.user
    parts = (rows.label, rank, rows.request, requests)
    values = {
        "ndcg_at_10": group_ndcg(K, *parts),
        "recall_at_10": group_recall(K, *parts),
        "mrr": group_reciprocal_rank(*parts),
        "intra_list_diversity": group_diversity(K, rank, rows.request, rows.text, rows.vectors, requests),
    }
    return {name: _mean_per_owner(owner, value, rows.users) for name, value in values.items()}


def _mean_per_owner(owner: Ints, values: Floats, users: int) -> RatioMetric:
    known = ~np.isnan(values)
    return RatioMetric(group_sum(owner[known], values[known], users), group_sum(owner, known, users))


def _weighted(values: Floats, weights: Floats) -> RatioMetric:
    """A weighted mean over users; users without a value are left out."""
    known = ~np.isnan(values)
    return RatioMetric(np.where(known, values * weights, 0.0), np.where(known, weights, 0.0))


def _coverage(rows: GroupedRows, rank: Ints) -> float:
    """Share of the candidate items that are among some request's first K."""
    return len(np.unique(rows.item[rank < K])) / len(np.unique(rows.item))
