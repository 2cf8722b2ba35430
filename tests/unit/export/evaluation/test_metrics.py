"""Metrics on small hand-made rankings."""

import numpy as np
import pytest

from export.evaluation.metrics import auc, grouped_auc, ndcg_at, summary


def groups(*names: str) -> np.ndarray:
    return np.array(names, object)


def test_auc_counts_ordered_pairs() -> None:
    """One of two pairs is in order; a single class has no AUC."""
    assert 0.5 == auc(np.array([1, 0, 0]), np.array([0.5, 0.2, 0.9]))
    assert np.isnan(auc(np.array([1, 1]), np.array([0.1, 0.2])))


def test_grouped_auc_weighs_by_rows_and_leaves_out_single_classes() -> None:
    """A user with only positives says nothing about order."""
    label, score = np.array([1, 0, 0, 1, 1]), np.array([0.9, 0.1, 0.5, 0.2, 0.3])
    assert pytest.approx((1.0 * 2 + 0.0 * 2) / 4) == grouped_auc(label, score, groups("a", "a", "b", "b", "c"))


def test_ndcg_discounts_by_rank() -> None:
    """A positive at rank 2 gives 1 / log2(3); groups without a positive are left out."""
    label, score = np.array([0, 1, 0, 0]), np.array([0.9, 0.8, 0.1, 0.2])
    assert pytest.approx(1 / np.log2(3)) == ndcg_at(10, label, score, groups("a", "a", "b", "b"))
    assert 0.0 == ndcg_at(1, label, score, groups("a", "a", "b", "b"))


def test_summary_names_what_it_measures() -> None:
    """All metrics of a perfect ranking."""
    made = summary(np.array([1, 0]), np.array([1.0, 0.0]), groups("u", "u"), groups("r", "r"))
    assert (2, 1.0, 1.0, 1.0) == (made["rows"], made["auc"], made["gauc"], made["ndcg_at_10"])
    assert 0 < made["log_loss"] < 1e-6
