"""The A/B split: the models that serve, the assignment of users to the arms of an experiment, the shadow."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from math import log
from typing import Protocol

import numpy as np

from services.features.encode import Tensors
from services.features.item_vectors import ItemVectors
from services.registry.model import Scores, ScoringModel


@dataclass(frozen=True)
class Assignment:
    """The model and arm of one request.

    Args:
        model: scores the candidates.
        arm: the experiment's arm; "" if no experiment runs.
    """

    model: ScoringModel
    arm: str = ""


TensorsFor = Callable[[Sequence[ItemVectors]], Tensors]
"""The tensors of a request for a model that was trained on these item vectors."""


class ServingModels(Protocol):
    """Assigns a model to each user, and is notified of the scores."""

    def assign(self, user_id: str) -> Assignment:
        """The model of a user; holds for the whole request, even if another version is promoted meanwhile."""
        ...

    def observe(self, assignment: Assignment, tensors_for: TensorsFor, target: np.ndarray, scores: Scores) -> None:
        """Called with the scores after the answer is ready; returns at once. The arrays must not change later."""
        ...


class FixedModel:
    """One model for all users."""

    def __init__(self, model: ScoringModel) -> None:
        self._assignment = Assignment(model)

    def assign(self, user_id: str) -> Assignment:
        """The model."""
        del user_id
        return self._assignment

    def observe(self, assignment: Assignment, tensors_for: TensorsFor, target: np.ndarray, scores: Scores) -> None:
        """Does nothing."""


@dataclass(frozen=True)
class WeightedArm:
    """An arm and its share of the users."""

    assignment: Assignment
    weight: float


@dataclass(frozen=True)
class Deployment:
    """The models of all users; replaced as a whole.

    Args:
        arms: at least one.
        experiment: name of the experiment; "" if none runs.
        shadow: a model that scores after the answer, for comparison.
    """

    arms: tuple[WeightedArm, ...]
    experiment: str = ""
    shadow: ScoringModel | None = None

    def assign(self, user_id: str) -> Assignment:
        """The model and arm of a user."""
        if len(self.arms) == 1:
            return self.arms[0].assignment
        arms = [(arm.assignment.arm, arm.weight) for arm in self.arms]
        return self.arms[assign_arm(user_id, self.experiment, arms)].assignment


def assign_arm(user_id: str, experiment: str, arms: Sequence[tuple[str, float]]) -> int:
    """The index of a user's arm among (name, weight): the same for the same user, experiment and arms.

    Weighted rendezvous hashing: each arm draws an exponential time of rate `weight` from a hash, the shortest one
    wins. Shares are proportional to the weights, and a changed weight moves only users that enter or leave its arm.
    """
    times = [-log(_uniform(experiment, arm, user_id)) / weight for arm, weight in arms]
    return times.index(min(times))


def _uniform(*parts: str) -> float:
    """A hash of the parts, as a number in (0, 1)."""
    digest = blake2b(digest_size=8)
    for part in parts:
        encoded = part.encode(errors="surrogatepass")
        digest.update(len(encoded).to_bytes(4, "big") + encoded)
    return (int.from_bytes(digest.digest(), "big") + 0.5) / 2**64
