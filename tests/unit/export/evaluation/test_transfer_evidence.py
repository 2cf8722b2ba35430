"""Evidence for transfer weights, by numbers made by hand."""

from typing import Any

import numpy as np
import pytest

from export.evaluation.metrics import row_log_losses
from export.evaluation.transfer_evidence import (
    off_diagonal,
    rank_correlation,
    stability,
    worth_figures,
)
from services.features.population import shares


def test_shares_sum_up_to_one_per_target() -> None:
    """A target without any weight keeps its zeros."""
    found = shares(np.array([[0.8, 0.2, 0.6], [0.0, 0.0, 0.0]]))
    np.testing.assert_allclose(np.array([[0.5, 0.125, 0.375], [0.0, 0.0, 0.0]]), found)


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ([1, 2, 3, 4], [10, 20, 30, 90], 1.0),
        ([1, 2, 3, 4], [4, 3, 2, 1], -1.0),
        ([1, 2, 3, 4, 5], [2, 1, 4, 3, 5], 1 - 6 * 4 / (5 * 24)),
        ([1, 1, 2], [5, 6, 7], 1.5 / 3**0.5),
    ],
)
def test_rank_correlation_is_spearmans(first: list[int], second: list[int], expected: float) -> None:
    """1 - 6 sum d^2 / (n (n^2 - 1)) without ties; ties share their mean rank."""
    assert pytest.approx(expected) == rank_correlation(np.array(first, float), np.array(second, float))


def test_rank_correlation_of_equal_or_single_values_is_undefined() -> None:
    """There is no order to compare."""
    assert np.isnan(rank_correlation(np.ones(3), np.arange(3.0)))
    assert np.isnan(rank_correlation(np.ones(1), np.ones(1)))


def test_cells_off_the_diagonal_are_those_of_targets() -> None:
    """The first source is never a target."""
    expected = [[False, False, False], [True, False, True], [True, True, False]]
    np.testing.assert_array_equal(expected, off_diagonal([1, 2], 3))


def test_stability_is_that_of_the_two_seeds_that_agree_least() -> None:
    """Seeds 0 and 1 agree; seed 2 has the others' order reversed off the diagonal."""
    one = np.array([[0.7, 0.2, 0.1], [0.15, 0.8, 0.05], [0.3, 0.4, 0.3]])
    two = one + np.array([[0.02, 0.0, -0.02], [0.0, 0.0, 0.0], [0.0, 0.0, 0.0]])
    three = np.array([[0.7, 0.1, 0.2], [0.05, 0.8, 0.15], [0.3, 0.4, 0.3]])
    found = stability(np.stack([one, two, three]), [0, 1], [0, 1, 2])
    assert found is not None
    agreement = {tuple(pair["seeds"]): pair["off_diagonal"] for pair in found["pairs"]}
    # Ranks of (.2, .1, .15, .05) and (.1, .2, .05, .15): (4, 2, 3, 1) and (2, 4, 1, 3).
    assert {(0, 1): 1.0, (0, 2): -0.6, (1, 2): -0.6} == {k: pytest.approx(v) for k, v in agreement.items()}
    assert pytest.approx(-0.6) == found["off_diagonal"]
    assert -0.6 < found["rank_correlation"] < 1
    assert stability(one[None], [0, 1], [0]) is None


def test_log_losses_of_several_probabilities() -> None:
    """A column per probability; where there is none, none."""
    found = row_log_losses(np.array([[True], [False]]), np.array([[0.5, 0.8], [0.5, np.nan]]))
    np.testing.assert_allclose([[np.log(2), -np.log(0.8)], [np.log(2), np.nan]], found)


def worth(*seeds: list[list[float]]) -> np.ndarray:
    """Worth [seeds, 1 + 2 resamples, 2, 2]; the second resample is the negative."""
    values = np.array(seeds)
    return np.stack([values, values, -values], axis=1)


def test_worth_counts_the_pairs_that_exceed_their_noise() -> None:
    """Of six pairs, two differ between seeds by more than their mean, and one of the rest harms."""
    nan = np.nan
    first = [[nan, 0.03, 0.01], [0.02, nan, 0.004], [0.001, -0.01, nan]]
    second = [[nan, 0.05, 0.01], [0.02, nan, -0.004], [-0.001, -0.01, nan]]
    share = np.array([[0.5, 0.4, 0.1], [0.3, 0.5, 0.2], [0.45, 0.05, 0.5]])
    found = worth_figures(worth(first, second), share, [0, 1, 2])
    assert (4, 6) == (found["pairs"], found["of"])
    # Worth (.04, .01, .02, -.01) and shares (.4, .1, .3, .05) have the same order.
    assert {"value": 1.0, "low": pytest.approx(-0.95), "high": pytest.approx(0.95)} == found["rank_correlation"]
    assert pytest.approx(0.04) == found["log_loss"][0][1]
    assert pytest.approx(0.02 / 2**0.5) == found["over_seeds"][0][1]
    assert found["log_loss"][0][0] is None


def test_with_one_seed_every_pair_counts() -> None:
    """There is no noise to compare with."""
    found: dict[str, Any] = worth_figures(
        worth([[np.nan, 0.01], [0.001, np.nan]]), np.array([[0.6, 0.4], [0.1, 0.9]]), [0, 1]
    )
    assert (2, 2, None) == (found["pairs"], found["of"], found["over_seeds"])
