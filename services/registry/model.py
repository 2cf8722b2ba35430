"""The interface of a scoring model: one method, its result, and a fake. Knows no graph."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np

from services.features.encode import Tensors
from services.features.item_vectors import ItemVectors
from services.features.population import shares


@dataclass(frozen=True)
class Scores:
    """The outputs of a model: P [N, J], M [J], R [N] and R / sum M [N]."""

    preference: np.ndarray
    transfer: np.ndarray
    score: np.ndarray
    probability: np.ndarray

    @cached_property
    def share(self) -> np.ndarray:
        """M / sum M [J], the shares of the source scenarios; all 0 if all weights are."""
        return shares(self.transfer)


class ScoringModel(Protocol):
    """Scores one request."""

    version: str

    @property
    def vectors(self) -> Sequence[ItemVectors]:
        """The learned item vectors that the model was trained on, for its tensors; none, or one."""
        ...

    def score(self, tensors: Tensors, target: np.ndarray, time_left_s: float = ..., /) -> Scores:
        """Scores of the candidates; target [J] is the posterior over target scenarios.

        A model that batches requests waits for others no longer than `time_left_s` allows.
        """
        ...


class FakeModel:
    """A model for tests: preference rises with the first item feature, weights follow the target."""

    version = "fake/1"
    vectors: Sequence[ItemVectors] = ()

    def score(self, tensors: Tensors, target: np.ndarray, _left_s: float = math.inf, /) -> Scores:
        """P[n, j] = sigmoid of item feature 0; M[j] = (1 + target[j]) / 2."""
        preference = 1 / (1 + np.exp(-tensors.item[:, :1])) * np.ones_like(tensors.cross[:, :, 0])
        transfer = (1 + target) / 2
        score = preference @ transfer
        return Scores(preference, transfer, score, score / transfer.sum())
