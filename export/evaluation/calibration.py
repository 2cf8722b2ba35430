"""Calibration of probabilities: equal-mass bins, reliability curve, expected calibration error (ECE).

    ECE = sum over bins of rows_b / rows * |mean probability_b - share of positives_b|

Source: Naeini, Cooper and Hauskrecht (2015), with bins of equal mass.
"""

import numpy as np

from export.evaluation.groups import Floats, Ints, group_sum

BINS = 15


def equal_mass_bins(probability: Floats, bins: int = BINS) -> Ints:
    """Bin 0..bins-1 of each row [R] by quantiles of the probabilities; equal probabilities share a bin."""
    inner = np.quantile(probability, np.arange(1, bins) / bins)
    return np.searchsorted(inner, probability, side="left").astype(np.int64)


def reliability(label: Ints, probability: Floats, bins: int = BINS) -> list[dict[str, float]]:
    """Per bin that is not empty: mean probability, share of positives, rows."""
    bin_of = equal_mass_bins(probability, bins)
    rows = group_sum(bin_of, np.ones(len(bin_of)), bins)
    predicted, positive = group_sum(bin_of, probability, bins), group_sum(bin_of, label, bins)
    return [
        {"probability": predicted[b] / rows[b], "positive": positive[b] / rows[b], "rows": int(rows[b])}
        for b in range(bins)
        if rows[b]
    ]
