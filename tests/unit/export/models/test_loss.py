"""The loss that identifies P and M, by numbers made by hand."""

import math

import numpy as np
import pytest
import torch

from export.models.loss import OTHERS, OWN, UNSUPPORTED, cross_entropy, identified_loss, pull_strength, transfer_prior


def test_the_own_prior_rises_with_the_rows_of_a_scenario() -> None:
    """Without rows it is that of any other source, with 2,000 half way, with many nearly OWN."""
    prior = transfer_prior(np.array([0, 2000, 2_000_000]))
    assert [-1.5, 0.0] == prior.diagonal()[:2].tolist()
    assert OWN - 0.01 < prior[2, 2] < OWN
    assert {OTHERS} == set(prior[~torch.eye(3, dtype=torch.bool)].tolist())


def test_every_member_is_compared_with_the_labels() -> None:
    """The mean over rows and members."""
    expected = -(math.log(0.8) + math.log(0.5) + math.log(0.9) + math.log(0.6)) / 4
    found = cross_entropy(torch.tensor([[0.8, 0.5], [0.1, 0.4]]), torch.tensor([1, 0]))
    assert pytest.approx(expected, rel=1e-6) == found.item()


def test_the_loss_sums_score_own_preference_and_distance() -> None:
    """.4 + .5 x .6 + .01 x the mean of 1, 4, 0 and 3 x 1."""
    distance, strength = torch.tensor([[[1.0, -2.0], [0.0, 1.0]]]), torch.tensor([1.0, 3.0])
    loss = identified_loss(torch.tensor(0.4), torch.tensor(0.6), distance, strength, 0.5, 0.01)
    assert pytest.approx(0.4 + 0.3 + 0.02) == loss.item()


def test_a_target_with_few_rows_is_pulled_more() -> None:
    """Most without any."""
    strength = pull_strength(np.array([0, 100, 10_000])).tolist()
    assert [1 + UNSUPPORTED, 1 + UNSUPPORTED / 4] == strength[:2]
    assert 1 < strength[2] < 1.01
