"""How good scores are: pure functions of labels, scores and groups, for one set of rows.

Intervals and comparisons are `export.evaluation.bootstrap`'s.
"""

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import log_loss, precision_recall_curve, roc_auc_score

from export.evaluation.groups import Floats, Ints, codes, group_auc, group_ndcg, ranks

SMALLEST = 1e-7
"""Probabilities are kept this far from 0 and 1 where their logarithm is taken."""


def auc(label: Ints, score: Floats) -> float:
    """Area under the ROC curve; NaN if only one class is there."""
    return float("nan") if label.min() == label.max() else float(roc_auc_score(label, score))


def grouped_auc(label: Ints, score: Floats, group: NDArray[np.object_]) -> float:
    """GAUC: AUC within each group (user), averaged by rows; groups of one class are left out."""
    code = codes(group)
    rows = np.bincount(code)
    values = group_auc(label, score, code, len(rows))
    known = ~np.isnan(values)
    return float(np.average(values[known], weights=rows[known])) if known.any() else float("nan")


def ndcg_at(k: int, label: Ints, score: Floats, group: NDArray[np.object_]) -> float:
    """Mean NDCG@k over groups with a positive; ties fall in one fixed random order."""
    code = codes(group)
    values = group_ndcg(k, label, ranks(score, code), code, int(code.max()) + 1)
    return float("nan") if np.isnan(values).all() else float(np.nanmean(values))


def best_f1_threshold(label: Ints, probability: Floats) -> float:
    """The probability from which on calling rows positive gives the highest F1; 0.5 without a positive."""
    if not len(label) or not label.any():
        return 0.5
    precision, recall, threshold = precision_recall_curve(label, probability)
    both = precision[:-1] + recall[:-1]
    f1 = np.divide(2 * precision[:-1] * recall[:-1], both, out=np.zeros(len(both)), where=both > 0)
    return float(threshold[np.argmax(f1)])


def summary(
    label: Ints, probability: Floats, user: NDArray[np.object_], request: NDArray[np.object_]
) -> dict[str, float]:
    """The metrics of one set of rows; `request` groups what was ranked together."""
    clipped = np.clip(probability, SMALLEST, 1 - SMALLEST)
    return {
        "rows": len(label),
        "auc": auc(label, probability),
        "gauc": grouped_auc(label, probability, user),
        "ndcg_at_10": ndcg_at(10, label, probability, request),
        "log_loss": float(log_loss(label, clipped, labels=[0, 1])),
    }
