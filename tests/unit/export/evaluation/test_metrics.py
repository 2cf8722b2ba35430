"""Metrics on small hand-made rankings and against scikit-learn."""

import json

import numpy as np
import pytest
from sklearn.metrics import f1_score, ndcg_score, roc_auc_score

from export.evaluation.groups import group_auc, group_diversity, group_recall, group_reciprocal_rank, ranks
from export.evaluation.metrics import auc, best_f1_threshold, grouped_auc, ndcg_at, ranking_metrics


def groups(*names: str) -> np.ndarray:
    return np.array(names, object)


def test_auc_counts_ordered_pairs() -> None:
    """One of two pairs is in order; a single class has no AUC."""
    assert 0.5 == auc(np.array([1, 0, 0]), np.array([0.5, 0.2, 0.9]))
    assert np.isnan(auc(np.array([1, 1]), np.array([0.1, 0.2])))


def test_grouped_auc_weighs_by_rows_and_leaves_out_single_classes() -> None:
    """A user with only positives has no AUC."""
    label, score = np.array([1, 0, 0, 1, 1]), np.array([0.9, 0.1, 0.5, 0.2, 0.3])
    assert pytest.approx((1.0 * 2 + 0.0 * 2) / 4) == grouped_auc(label, score, groups("a", "a", "b", "b", "c"))


def test_auc_of_each_group_is_scikit_learns() -> None:
    """With ties and groups of mixed sizes."""
    generator = np.random.default_rng(0)
    group = generator.integers(0, 5, 200)
    label, score = generator.integers(0, 2, 200), generator.integers(0, 8, 200) / 8
    expected = [roc_auc_score(label[group == g], score[group == g]) for g in range(5)]
    assert expected == pytest.approx(group_auc(label, score, group, 5))


def test_ndcg_discounts_by_rank() -> None:
    """A positive at rank 2 gives 1 / log2(3); groups without a positive are left out."""
    label, score = np.array([0, 1, 0, 0]), np.array([0.9, 0.8, 0.1, 0.2])
    assert pytest.approx(1 / np.log2(3)) == ndcg_at(10, label, score, groups("a", "a", "b", "b"))
    assert 0.0 == ndcg_at(1, label, score, groups("a", "a", "b", "b"))


def test_ndcg_is_scikit_learns() -> None:
    """On a request without ties."""
    generator = np.random.default_rng(1)
    label, score = generator.integers(0, 2, 40), generator.permutation(40) / 40
    expected = ndcg_score(label[None], score[None], k=10)
    assert pytest.approx(expected) == ndcg_at(10, label, score, np.full(40, "r", object))


def test_the_order_of_rows_does_not_help_a_model_that_ties_everything() -> None:
    """Positives first in the file, one score for all: the NDCG is that of a random order, not 1."""
    label = np.tile([1, 0, 0, 0, 0], 400)
    request = np.repeat(np.arange(400), 5).astype(str).astype(object)
    expected = np.mean(1 / np.log2(np.arange(5) + 2))
    assert pytest.approx(expected, abs=0.03) == ndcg_at(10, label, np.zeros(2000), request)


def test_recall_and_reciprocal_rank_of_requests() -> None:
    """Of two positives one is in the first two, the first at rank 2; a request without positives has neither."""
    label, score = np.array([0, 1, 1, 0]), np.array([0.9, 0.8, 0.1, 0.7])
    group = np.array([0, 0, 0, 1])
    rank = ranks(score, group)
    assert [0, 1, 2, 0] == rank.tolist()
    assert pytest.approx([0.5, np.nan], nan_ok=True) == group_recall(2, label, rank, group, 2).tolist()
    assert pytest.approx([0.5, np.nan], nan_ok=True) == group_reciprocal_rank(label, rank, group, 2).tolist()


def test_requests_of_one_class_do_not_count() -> None:
    """A row alone, or positives alone, cannot be in a wrong order: they raise no metric of lists."""
    label, score = np.array([0, 1, 1, 1, 1]), np.array([0.9, 0.8, 0.1, 0.2, 0.3])
    requests = groups("both", "both", "alone", "positive", "positive")
    assert pytest.approx(1 / np.log2(3)) == ndcg_at(10, label, score, requests)
    code = np.array([0, 0, 1, 2, 2])
    rank = ranks(score, code)
    for values in (group_recall(10, label, rank, code, 3), group_reciprocal_rank(label, rank, code, 3)):
        assert [False, True, True] == np.isnan(values).tolist()


def test_without_any_list_there_is_no_ndcg() -> None:
    """Not 1, and JSON takes it."""
    made = ranking_metrics(np.array([1, 0]), np.array([0.1, 0.9]), groups("u", "u"), groups("r", "s"))
    assert made["ndcg_at_10"] is None
    assert 0.0 == made["auc"]
    assert "NaN" not in json.dumps(made)


def test_diversity_is_the_mean_of_one_minus_cosine_over_pairs() -> None:
    """Two like items and one at right angles: one pair of three is alike. One item has no pair."""
    vectors = np.array([[1.0, 0.0], [0.0, 1.0]])
    group, rank = np.array([0, 0, 0, 1]), np.array([0, 1, 2, 0])
    found = group_diversity(10, rank, group, np.array([0, 0, 1, 0]), vectors, 2)
    assert pytest.approx(2 / 3) == found[0]
    assert np.isnan(found[1])
    assert pytest.approx(0.0) == group_diversity(2, rank, group, np.array([0, 0, 1, 0]), vectors, 2)[0]


def test_threshold_has_the_highest_f1() -> None:
    """No other score of the rows does better."""
    generator = np.random.default_rng(2)
    label = generator.integers(0, 2, 100)
    score = label * 0.3 + generator.random(100)
    best = f1_score(label, score >= best_f1_threshold(label, score))
    assert best == max(f1_score(label, score >= threshold) for threshold in score)
    assert 0.5 == best_f1_threshold(np.array([0, 0]), np.array([0.1, 0.2]))


def test_summary_names_what_it_measures() -> None:
    """All metrics of a perfect ranking."""
    made = ranking_metrics(np.array([1, 0]), np.array([1.0, 0.0]), groups("u", "u"), groups("r", "r"))
    assert (2, 1.0, 1.0, 1.0) == (made["rows"], made["auc"], made["gauc"], made["ndcg_at_10"])
    assert 0 < made["log_loss"] < 1e-6
