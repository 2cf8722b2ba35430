"""How good scores are: pure functions of labels, scores and groups."""

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import log_loss, roc_auc_score

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def auc(label: Ints, score: Floats) -> float:
    """Area under the ROC curve; NaN if only one class is there."""
    return float("nan") if label.min() == label.max() else float(roc_auc_score(label, score))


def grouped_auc(label: Ints, score: Floats, group: NDArray[np.object_]) -> float:
    """GAUC: AUC within each group (user), averaged by rows; groups of one class are left out."""
    order = np.argsort(group.astype(str), kind="stable")
    bounds = np.flatnonzero(np.r_[True, group[order][1:] != group[order][:-1], True])
    total = weight = 0.0
    for begin, end in pairwise(bounds):
        members = order[begin:end]
        value = auc(label[members], score[members])
        if not np.isnan(value):
            total, weight = total + value * len(members), weight + len(members)
    return total / weight if weight else float("nan")


def ndcg_at(k: int, label: Ints, score: Floats, group: NDArray[np.object_]) -> float:
    """Mean NDCG@k over groups with a positive; binary gain, discount 1 / log2(rank + 1), ties in given order."""
    code = np.unique(group.astype(str), return_inverse=True)[1].reshape(-1)
    gained, ideal = _dcg(k, label, -score, code), _dcg(k, label, -label.astype(float), code)
    return float(np.mean(gained[ideal > 0] / ideal[ideal > 0])) if (ideal > 0).any() else float("nan")


def _dcg(k: int, label: Ints, key: Floats, code: Ints) -> Floats:
    order = np.lexsort((key, code))
    codes = code[order]
    starts = np.r_[True, codes[1:] != codes[:-1]]
    rank = np.arange(len(codes)) - np.maximum.accumulate(np.where(starts, np.arange(len(codes)), 0))
    gain = np.where(rank < k, label[order] / np.log2(rank + 2.0), 0.0)
    return np.bincount(codes, gain, minlength=codes[-1] + 1).astype(np.float64)


def summary(
    label: Ints, probability: Floats, user: NDArray[np.object_], request: NDArray[np.object_]
) -> dict[str, float]:
    """The metrics of one set of rows; `request` groups what was ranked together."""
    clipped = np.clip(probability, 1e-7, 1 - 1e-7)
    return {
        "rows": len(label),
        "auc": auc(label, probability),
        "gauc": grouped_auc(label, probability, user),
        "ndcg_at_10": ndcg_at(10, label, probability, request),
        "log_loss": float(log_loss(label, clipped, labels=[0, 1])),
    }
