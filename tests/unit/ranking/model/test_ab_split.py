"""Which users get which arm."""

from collections import Counter

import pytest

from services.ranking.model.ab_split import Assignment, Deployment, FixedModel, WeightedArm, assign_arm
from services.registry.model import FakeModel

USERS = [f"user-{number}" for number in range(100_000)]


def places(experiment: str, *weights: float) -> list[int]:
    arms = [(f"arm{number}", weight) for number, weight in enumerate(weights)]
    return [assign_arm(user, experiment, arms) for user in USERS]


@pytest.mark.parametrize("weights", [(0.5, 0.5), (0.9, 0.1), (0.999, 0.001), (0.2, 0.3, 0.5)])
def test_shares_are_as_the_weights(weights: tuple[float, ...]) -> None:
    """Within four standard deviations of the binomial distribution, for 100,000 users."""
    counts = Counter(places("prices", *weights))
    for number, weight in enumerate(weights):
        deviation = (weight * (1 - weight) * len(USERS)) ** 0.5
        assert abs(counts[number] - weight * len(USERS)) < 4 * deviation


def test_a_user_keeps_the_arm() -> None:
    """Asked again, and in another process: the assignment is a value of the hash."""
    assert places("prices", 0.5, 0.5) == places("prices", 0.5, 0.5)
    assert [1, 0, 1, 1, 1, 0, 0, 1] == places("prices", 0.5, 0.5)[10:18]


def test_experiments_are_independent() -> None:
    """The arms of two experiments are independent."""
    both = Counter(zip(places("prices", 0.5, 0.5), places("pictures", 0.5, 0.5), strict=True))
    for count in both.values():
        assert abs(count - len(USERS) / 4) < 4 * (0.25 * 0.75 * len(USERS)) ** 0.5


def test_a_raised_weight_moves_users_into_its_arm_only() -> None:
    """No other user changes, so that their measurements stay comparable."""
    before, after = places("prices", 0.6, 0.3, 0.1), places("prices", 0.4, 0.2, 0.4)
    moved = Counter((b, a) for b, a in zip(before, after, strict=True) if b != a)
    assert {(0, 2), (1, 2)} == set(moved)


def test_one_arm_is_everybodys() -> None:
    """Without an experiment no arm is named."""
    served = Assignment(FakeModel())
    assert served is Deployment((WeightedArm(served, 1.0),)).assign("ann")
    assert ("fake/1", "") == (
        FixedModel(FakeModel()).assign("ann").model.version,
        FixedModel(FakeModel()).assign("").arm,
    )
