"""Selects the training rows, features and source scenarios of a run, deterministically by seed.

Knows numbers and names; knows nothing of files or models.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from services.errors import CrossRecError

_GOLDEN = 0x9E3779B97F4A7C15
_CONTEXTS, _USERS = 1, 2


class SelectionError(CrossRecError):
    """A selection has an unknown name, drops every source, or has a share outside 0 to 1."""


@dataclass(frozen=True)
class Selection:
    """What a run drops.

    Args:
        target_share: share of the training rows of a target scenario to keep, by whole contexts; nested: the 1 %
            sample is part of the 2 % sample. Other scenarios keep all rows.
        user_share: share of the users whose training rows are kept; nested likewise.
        seed: seed of both samples.
        dropped_features: features `tensor/name` that are set to the training mean in every row, scored ones included.
        dropped_sources: source scenarios whose transfer weight is 0, in training and scoring.
    """

    target_share: Mapping[str, float] = field(default_factory=dict)
    user_share: float = 1.0
    seed: int = 0
    dropped_features: frozenset[str] = frozenset()
    dropped_sources: frozenset[str] = frozenset()

    def check(self, tensors: Mapping[str, Sequence[str]], sources: Sequence[str]) -> None:
        """Raise SelectionError for an unknown name or a share out of range."""
        features = {f"{tensor}/{name}" for tensor, names in tensors.items() for name in names}
        if unknown := sorted(self.dropped_features - features):
            raise SelectionError(f"dropped_features: the rows have no {', '.join(unknown)}; names are tensor/name")
        scenarios = {"target_share": set(self.target_share), "dropped_sources": set(self.dropped_sources)}
        for name, given in scenarios.items():
            if unknown := sorted(given - set(sources)):
                raise SelectionError(f"{name}: no scenario {', '.join(unknown)}; there are {', '.join(sources)}")
        if set(sources) <= self.dropped_sources:
            raise SelectionError("dropped_sources: no source scenario is left")
        for name, share in {**self.target_share, "user_share": self.user_share}.items():
            if not 0 <= share <= 1:
                raise SelectionError(f"{name}: share {share} is not between 0 and 1")

    def mask_rows(
        self, context: NDArray[np.int64], target: NDArray[np.int64], sources: Sequence[str]
    ) -> NDArray[np.bool_]:
        """Mask of the training rows [R] kept by their target scenario's share."""
        shares = np.array([self.target_share.get(source, 1.0) for source in sources])[target]
        kept: NDArray[np.bool_] = _uniform(context, self.seed, _CONTEXTS) < shares
        return kept

    def mask_users(self, key: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Mask of the users kept, given their 64-bit keys."""
        kept: NDArray[np.bool_] = _uniform(key, self.seed, _USERS) < self.user_share
        return kept


def _uniform(key: NDArray[np.int64], seed: int, use: int) -> NDArray[np.float64]:
    """A pseudorandom number in [0, 1) for each key: SplitMix64's finaliser (Steele et al. 2014)."""
    offset = np.uint64(((4 * seed + use) * _GOLDEN) % 2**64)
    bits: NDArray[Any] = key.astype(np.int64).view(np.uint64) * np.uint64(_GOLDEN) + offset
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        bits = (bits ^ (bits >> np.uint64(shift))) * np.uint64(factor)
    bits ^= bits >> np.uint64(31)
    result: NDArray[np.float64] = (bits >> np.uint64(11)).astype(np.float64) / 2.0**53
    return result
