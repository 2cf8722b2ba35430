"""What ranks at a moment: arms with their models, the split of users over them, the shadow."""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from math import log
from typing import Protocol

import numpy as np

from services.features.encode import Tensors
from services.registry.model import Model, Scores


@dataclass(frozen=True)
class Served:
    """What ranks one request.

    Args:
        model: scores the candidates.
        arm: the experiment's arm; "" where none runs.
    """

    model: Model
    arm: str = ""


class Models(Protocol):
    """Decides what ranks a request, and hears how it did."""

    def choose(self, user_id: str) -> Served:
        """What ranks for a user; holds for the whole request, whatever is promoted meanwhile."""
        ...

    def observe(self, served: Served, tensors: Tensors, target: np.ndarray, scores: Scores) -> None:
        """Hear what was scored, after the answer is made; returns at once. The arrays must not change later."""
        ...


class OneModel:
    """A model for everybody."""

    def __init__(self, model: Model) -> None:
        self._served = Served(model)

    def choose(self, user_id: str) -> Served:
        """The model."""
        del user_id
        return self._served

    def observe(self, served: Served, tensors: Tensors, target: np.ndarray, scores: Scores) -> None:
        """Nothing listens."""


@dataclass(frozen=True)
class WeightedArm:
    """An arm and its share of the users."""

    served: Served
    weight: float


@dataclass(frozen=True)
class ServedSet:
    """What ranks for all users; replaced as a whole.

    Args:
        arms: at least one.
        experiment: its name.
        shadow: scores after the answer, for comparison.
    """

    arms: tuple[WeightedArm, ...]
    experiment: str = ""
    shadow: Model | None = None

    def choose(self, user_id: str) -> Served:
        """The user's arm."""
        if len(self.arms) == 1:
            return self.arms[0].served
        return self.arms[place_of(user_id, self.experiment, [(a.served.arm, a.weight) for a in self.arms])].served


def place_of(user_id: str, experiment: str, arms: Sequence[tuple[str, float]]) -> int:
    """The place of a user's arm among (name, weight): the same for the same user, experiment and arms.

    Weighted rendezvous hashing: each arm draws an exponential time of rate `weight` from a hash, the shortest one
    wins. Shares are as the weights, and a weight that changes moves only those users that enter or leave its arm.
    """
    times = [-log(_uniform(experiment, arm, user_id)) / weight for arm, weight in arms]
    return times.index(min(times))


def _uniform(*parts: str) -> float:
    """A number in (0, 1) that is a hash of the parts."""
    digest = blake2b(digest_size=8)
    for part in parts:
        encoded = part.encode(errors="surrogatepass")
        digest.update(len(encoded).to_bytes(4, "big") + encoded)
    return (int.from_bytes(digest.digest(), "big") + 0.5) / 2**64
