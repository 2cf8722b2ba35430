"""Calibration against hand-computed values."""

import numpy as np
import pytest

from export.evaluation.calibration import equal_mass_bins, reliability
from export.evaluation.measure import GroupedRows, ece_metric


def test_bins_have_equal_mass_and_keep_ties_together() -> None:
    """Six distinct values in three bins are two each; equal values share one."""
    assert [0, 0, 1, 1, 2, 2] == equal_mass_bins(np.array([0.1, 0.2, 0.3, 0.4, 0.5, 0.6]), 3).tolist()
    assert 1 == len(set(equal_mass_bins(np.full(6, 0.3), 3).tolist()))


def test_reliability_gives_means_per_bin() -> None:
    """Mean probability and share of positives."""
    curve = reliability(np.array([0, 1, 1, 1]), np.array([0.1, 0.3, 0.8, 0.9]), 2)
    assert [2, 2] == [point["rows"] for point in curve]
    assert pytest.approx([0.2, 0.85]) == [point["probability"] for point in curve]
    assert [0.5, 1.0] == [point["positive"] for point in curve]


def test_calibration_error_is_the_weighted_gap() -> None:
    """All rows at 0.3 with half positive: off by 0.2; a user drawn twice shifts it."""
    label, user = np.array([1, 1, 0, 0]), np.array([0, 0, 1, 1])
    rows = GroupedRows(label, user, user, user, user, np.zeros((2, 1)), 2)
    error = ece_metric(rows, np.full(4, 0.3))
    assert pytest.approx([0.2, 0.7]) == error.resample(np.array([[1.0, 1.0], [2.0, 0.0]])).tolist()
