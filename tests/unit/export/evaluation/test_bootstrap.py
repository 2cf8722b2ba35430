"""Resampling by counts against resampling rows, and comparisons of models."""

import numpy as np
import pytest

from export.evaluation.bootstrap import AucMetric, p_value, percentile_interval, user_counts, wilcoxon_p
from export.evaluation.measure import METRICS, GroupedRows, measure
from tests.unit.export.evaluation.made import grouped


def repeated(rows: GroupedRows, probability: np.ndarray, count: np.ndarray) -> tuple[GroupedRows, np.ndarray]:
    """The rows with each user as often as drawn, every copy a user and requests of its own."""
    copies = [(user, copy) for user, times in enumerate(count.astype(int)) for copy in range(times)]
    index = [np.flatnonzero(rows.user == user) for user, _ in copies]
    user = np.repeat(np.arange(len(copies)), [len(part) for part in index])
    rows_of = np.concatenate(index)
    keys = np.stack([user, rows.request[rows_of]])
    request = np.unique(keys, axis=1, return_inverse=True)[1].reshape(-1)
    parts = (rows.label[rows_of], user, request, rows.item[rows_of], rows.text[rows_of])
    return GroupedRows(*parts, rows.vectors, len(copies)), probability[rows_of]


@pytest.mark.parametrize("metric", [name for name in METRICS if name not in {"ece", "coverage"}])
def test_counts_give_what_repeated_rows_give(metric: str) -> None:
    """Every metric of a resample equals the metric measured on rows that are really repeated."""
    rows, probability = grouped()
    counts = user_counts(rows.users, 5, seed=3)
    found, _ = measure(rows, probability, 0.5, counts)
    for number in range(1, 6):
        again, scores = repeated(rows, probability, counts[number])
        expected, _ = measure(again, scores, 0.5, np.ones((1, again.users)))
        assert pytest.approx(expected[metric][0]) == found[metric][number]


def test_ordering_counts_ties_at_half() -> None:
    """Two equal scores are half in order; a user drawn twice counts twice."""
    ordering = AucMetric.build(np.array([1, 0, 0]), np.array([0.5, 0.5, 0.1]), np.array([0, 0, 1]))
    assert [0.75, 0.5 * 2 * 2 / (2 * 2)] == ordering.resample(np.array([[1.0, 1.0], [2.0, 0.0]])).tolist()


def test_a_seed_draws_the_same_users_again() -> None:
    """The first row counts every user once; the others draw as many users as there are."""
    first, second = user_counts(6, 50, seed=1), user_counts(6, 50, seed=1)
    assert first.tolist() == second.tolist()
    assert [1.0] * 6 == first[0].tolist()
    assert {6.0} == set(first[1:].sum(axis=1))


def test_identical_models_do_not_differ() -> None:
    """A difference that is 0 in every resample has p = 1, by both tests."""
    assert 1.0 == p_value(np.zeros(200))
    assert (0.0, 0.0) == percentile_interval(np.zeros(200))
    assert 1.0 == wilcoxon_p(np.array([0.5, 0.7, np.nan]), np.array([0.5, 0.7, 0.2]))


def test_a_difference_of_one_sign_has_the_smallest_p() -> None:
    """With B resamples no p-value lies below 2 / (B + 1)."""
    assert pytest.approx(2 / 201) == p_value(np.full(200, 0.1))
    assert pytest.approx(2 / 201) == p_value(np.full(200, -0.1))
    assert wilcoxon_p(np.arange(1.0, 21.0), np.zeros(20)) < 1e-4


def test_an_interval_without_values_is_unknown() -> None:
    """Coverage has no resampled values."""
    assert np.isnan(percentile_interval(np.full(3, np.nan))).all()
