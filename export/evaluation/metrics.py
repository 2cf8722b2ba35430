"""Ranking metrics of one set of rows: pure functions of labels, scores and groups.

Intervals and comparisons are in `export.evaluation.bootstrap`.
"""

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import log_loss, precision_recall_curve, roc_auc_score

from export.evaluation.groups import Floats, Ints, encode_ids, group_auc, group_ndcg, ranks

SMALLEST = 1e-7
"""Probabilities are clipped to this distance from 0 and 1 before their logarithm is taken."""


def auc(label: Ints, score: Floats) -> float:
    """Area under the ROC curve; NaN with one class."""
    return float("nan") if label.min() == label.max() else float(roc_auc_score(label, score))


def cross_entropy(label: Ints, probability: Floats) -> float:
    """Mean log loss, in nats."""
    return float(log_loss(label, np.clip(probability, SMALLEST, 1 - SMALLEST), labels=[0, 1]))


def row_log_losses(positive: NDArray[np.bool_], probability: Floats) -> Floats:
    """Log loss of each row, in nats; NaN where there is no probability. Arrays that broadcast."""
    clipped = np.clip(probability, SMALLEST, 1 - SMALLEST)
    losses: Floats = -np.log(np.where(positive, clipped, 1 - clipped))
    return losses


def grouped_auc(label: Ints, score: Floats, group: NDArray[np.object_]) -> float:
    """GAUC: AUC within each group (user), weighted by the groups' rows; groups of one class are left out."""
    code = encode_ids(group)
    rows = np.bincount(code)
    values = group_auc(label, score, code, len(rows))
    known = ~np.isnan(values)
    return float(np.average(values[known], weights=rows[known])) if known.any() else float("nan")


def ndcg_at(k: int, label: Ints, score: Floats, group: NDArray[np.object_]) -> float:
    """Mean NDCG@k over groups of both classes, NaN without any; one fixed random order breaks ties."""
    code = encode_ids(group)
    values = group_ndcg(k, label, ranks(score, code), code, int(code.max()) + 1)
    return float("nan") if np.isnan(values).all() else float(np.nanmean(values))


def best_f1_threshold(label: Ints, probability: Floats) -> float:
    """The threshold on probabilities with the highest F1; 0.5 without a positive."""
    if not len(label) or not label.any():
        return 0.5
    precision, recall, threshold = precision_recall_curve(label, probability)
    both = precision[:-1] + recall[:-1]
    f1 = np.divide(2 * precision[:-1] * recall[:-1], both, out=np.zeros(len(both)), where=both > 0)
    return float(threshold[np.argmax(f1)])


def ranking_metrics(
    label: Ints, probability: Floats, user: NDArray[np.object_], request: NDArray[np.object_]
) -> dict[str, float | None]:
    """Rows, AUC, GAUC, NDCG@10 and log loss of one set of rows; `request` groups rows that are ranked together.

    None where there is nothing to measure on: NDCG needs a request with rows of both classes.
    """
    metrics = {
        "rows": len(label),
        "auc": auc(label, probability),
        "gauc": grouped_auc(label, probability, user),
        "ndcg_at_10": ndcg_at(10, label, probability, request),
        "log_loss": cross_entropy(label, probability),
    }
    return {name: None if np.isnan(value) else value for name, value in metrics.items()}
