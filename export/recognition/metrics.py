"""Metrics of posteriors over scenarios: pure functions of probabilities and targets."""

from typing import Any

import numpy as np
from sklearn.metrics import confusion_matrix, f1_score, log_loss

from services.features.rows import Floats, Ints

BINS = 15
"""Number of bins, of equal width (Guo et al., 2017)."""


def calibration_error(confidence: Floats, hit: Floats) -> float:
    """Expected calibration error: mean |share of hits - mean confidence| over bins of confidence, by samples [S]."""
    bin_of = np.minimum((confidence * BINS).astype(np.int64), BINS - 1)
    gap = np.abs(np.bincount(bin_of, hit, BINS) - np.bincount(bin_of, confidence, BINS))
    return float(gap.sum() / len(confidence))


def posterior_metrics(target: Ints, posterior: Floats) -> dict[str, Any]:
    """Metrics of posteriors [S, K]; confusion[i][j] counts samples of scenario i recognised as j.

    `ece` is over the confidence in the most probable scenario, `ece_classwise` the mean over scenarios of the
    error of each one's probability (Kull et al., 2019).
    """
    classes, recognised = posterior.shape[1], posterior.argmax(axis=1)
    normalised = np.clip(posterior, 1e-7, 1.0)
    normalised /= normalised.sum(axis=1, keepdims=True)
    each = [calibration_error(posterior[:, k], (target == k).astype(np.float64)) for k in range(classes)]
    labels = np.arange(classes)
    return {
        "samples": len(target),
        "accuracy": float((recognised == target).mean()),
        "macro_f1": float(f1_score(target, recognised, labels=labels, average="macro", zero_division=0)),
        "log_loss": float(log_loss(target, normalised, labels=labels)),
        "ece": calibration_error(posterior.max(axis=1), (recognised == target).astype(np.float64)),
        "ece_classwise": float(np.mean(each)),
        "confusion": confusion_matrix(target, recognised, labels=labels).tolist(),
    }
