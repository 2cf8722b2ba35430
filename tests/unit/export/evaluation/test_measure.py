"""All metrics of a model against scikit-learn."""

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, f1_score, log_loss, precision_score, recall_score, roc_auc_score

from export.evaluation.measure import METRICS, GroupedRows, measure
from tests.unit.export.evaluation.made import grouped


def test_metrics_are_scikit_learns() -> None:
    """Metrics of scikit-learn have the same values."""
    rows, probability = grouped()
    found, _ = measure(rows, probability, 0.5, np.ones((1, rows.users)))
    called = probability >= 0.5
    expected = {
        "auc": roc_auc_score(rows.label, probability),
        "log_loss": log_loss(rows.label, probability),
        "accuracy": accuracy_score(rows.label, called),
        "precision": precision_score(rows.label, called),
        "recall": recall_score(rows.label, called),
        "f1": f1_score(rows.label, called),
    }
    assert list(METRICS) == list(found)
    for name, value in expected.items():
        assert pytest.approx(value) == found[name][0], name


def test_coverage_is_the_share_of_items_in_some_top_ten() -> None:
    """Twelve candidates of one request: ten are listed."""
    label, zeros = np.array([1] + [0] * 11), np.zeros(12, np.int64)
    rows = GroupedRows(label, zeros, zeros, np.arange(12), zeros, np.ones((1, 1)), 1)
    found, _ = measure(rows, np.linspace(1, 0, 12), 0.5, np.ones((2, 1)))
    assert pytest.approx(10 / 12) == found["coverage"][0]
    assert np.isnan(found["coverage"][1])


def test_what_cannot_be_measured_is_unknown() -> None:
    """Rows without a positive have no AUC, NDCG or recall, but a log loss."""
    zeros = np.zeros(3, np.int64)
    rows = GroupedRows(zeros, zeros, zeros, np.arange(3), zeros, np.ones((1, 1)), 1)
    found, per_user = measure(rows, np.array([0.1, 0.2, 0.3]), 0.5, np.ones((1, 1)))
    assert all(np.isnan(found[name][0]) for name in ("auc", "gauc", "ndcg_at_10", "recall", "mrr"))
    assert found["log_loss"][0] > 0
    assert np.isnan(per_user).all()
