"""The assignment of users to arms."""

from collections import Counter

import pytest

from services.ranking.model.ab_split import Assignment, Deployment, FixedModel, WeightedArm, assign_arm
from services.registry.model import FakeModel

USERS = [f"user-{number}" for number in range(100_000)]


def places(experiment: str, *weights: float) -> list[int]:
    arms = [(f"arm{number}", weight) for number, weight in enumerate(weights)]
    return [assign_arm(user, experiment, arms) for user in USERS]


@pytest.mark.parametrize("weights", [(0.5, 0.5), (0.9, 0.1), (0.999, 0.001), (0.2, 0.3, 0.5)])
def test_shares_of_users_equal_the_weights(weights: tuple[float, ...]) -> None:
    """Within four standard deviations of the binomial distribution, for 100,000 users."""
    counts = Counter(places("prices", *weights))
    for number, weight in enumerate(weights):
        deviation = (weight * (1 - weight) * len(USERS)) ** 0.5
        assert abs(counts[number] - weight * len(USERS)) < 4 * deviation


def test_a_user_keeps_the_arm() -> None:
    """On every call and in every process: the assignment is a function of the hash."""
    assert places("prices", 0.5, 0.5) == places("prices", 0.5, 0.5)
    assert [1, 0, 1, 1, 1, 0, 0, 1] == places("prices", 0.5, 0.5)[10:18]


def test_experiments_are_independent() -> None:
    """The arms of two experiments are independent."""
    both = Counter(zip(places("prices", 0.5, 0.5), places("pictures", 0.5, 0.5), strict=True))
    for count in both.values():
        assert abs(count - len(USERS) / 4) < 4 * (0.25 * 0.75 * len(USERS)) ** 0.5


def test_a_raised_weight_moves_users_into_its_arm_only() -> None:
    """No other user changes arm, so that measurements stay comparable."""
    before, after = places("prices", 0.6, 0.3, 0.1), places("prices", 0.4, 0.2, 0.4)
    moved = Counter((b, a) for b, a in zip(before, after, strict=True) if b != a)
    assert {(0, 2), (1, 2)} == set(moved)


def test_a_single_arm_serves_all_users() -> None:
    """Without an experiment the arm has no name."""
    served = Assignment(FakeModel())
    assert served is Deployment((WeightedArm(served, 1.0),)).assign("ann")
    assert ("fake/1", "") == (
        FixedModel(FakeModel()).assign("ann").model.version,
        FixedModel(FakeModel()).assign("").arm,
    )
