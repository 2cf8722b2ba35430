"""What the experiments are made of: fits to do, what is measured of each, and rows of means over seeds.

Knows nothing of torch or files: a `Trainer` does a fit and answers with its measures.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from export.rows.selection import Selection
from services.errors import CrossRecError

Measures = dict[str, dict[str, dict[str, float]]]
"""By what was scored ("test", "validation", or "without X": the test rows with source X at weight 0), then by target
scenario or "all": `auc` and `ndcg_at_10`, NaN where they are not defined."""

Row = dict[str, Any]


class ExperimentError(CrossRecError):
    """An experiment cannot be done on these rows, or with these options."""


@dataclass(frozen=True)
class Fit:
    """One model to train and measure.

    Args:
        name: what sets it apart within its experiment, whatever the seed.
        kind: kind of model.
        seed: of weights, order and selection.
        selection: which rows, features and sources; its seed is this seed.
        removed: sources whose weight is set to 0 in scoring alone, one at a time, once the model is trained.
    """

    name: str
    kind: str
    seed: int
    selection: Selection = field(default_factory=Selection)
    removed: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """Its name in the results."""
        return f"{self.name}, seed {self.seed}"


class Trainer(Protocol):
    """Does fits on one set of training rows."""

    def row_passes(self, fit: Fit) -> int:
        """How many rows go through the network, at most: training and validation rows in every epoch, test rows."""
        ...

    def measure(self, fit: Fit) -> Measures:
        """Train and score; empty if the fit has no training rows."""
        ...


@dataclass(frozen=True)
class Experiment:
    """An experiment's fits, cheap to list, and how their measures become rows.

    Args:
        name: of the command and the file.
        fits: in the order in which they are done.
        rows: rows from the measures of the fits that are done, by key; a row appears once all its fits are.
    """

    name: str
    fits: tuple[Fit, ...]
    rows: Callable[[Mapping[str, Measures]], list[Row]]


def values(done: Mapping[str, Measures], fits: Sequence[Fit], scored: str, target: str, metric: str) -> list[float]:
    """A metric of each fit; empty if one of them is not done or does not have it."""
    if any(target not in done.get(fit.key, {}).get(scored, {}) for fit in fits):
        return []
    return [done[fit.key][scored][target][metric] for fit in fits]


def spread(name: str, found: Sequence[float]) -> Row:
    """Mean, and deviation over seeds (0 for one seed), to 5 decimals."""
    deviation = float(np.std(found, ddof=1)) if len(found) > 1 else 0.0
    return {name: round(float(np.mean(found)), 5), f"{name}_sd": round(deviation, 5)}


def seeds(found: Sequence[float]) -> Row:
    """The value of each seed, to 5 decimals."""
    return {"seeds": [round(value, 5) for value in found]}


def changes(after: Sequence[float], before: Sequence[float]) -> list[float]:
    """What each seed gained."""
    return [new - old for new, old in zip(after, before, strict=True)]
