"""The parts of an experiment: fits, their measures, and result rows of means over seeds.

Knows nothing of torch or files: a `Trainer` runs a fit and returns its measures.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from export.rows.selection import Selection
from services.errors import CrossRecError

Measures = dict[str, dict[str, dict[str, float]]]
"""`auc` and `ndcg_at_10`, NaN where undefined; by scored rows ("test", "validation", or "without X": test rows with
source X at weight 0), then by target scenario or "all". Of models with transfer weights also SHARES: the share of each
source's weight by target scenario."""

SHARES = "shares"

ResultRow = dict[str, Any]


class ExperimentError(CrossRecError):
    """An experiment cannot run on these rows or with these options."""


@dataclass(frozen=True)
class Fit:
    """One model to train and measure.

    Args:
        name: identifies it within its experiment, without the seed.
        kind: kind of model.
        seed: of initial weights, row order and selection.
        selection: which rows, features and sources; its seed is this seed.
        removed: sources whose weight is 0 in scoring only, one at a time, after training.
    """

    name: str
    kind: str
    seed: int
    selection: Selection = field(default_factory=Selection)
    removed: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """Its key in the results."""
        return f"{self.name}, seed {self.seed}"


class Trainer(Protocol):
    """Runs fits on one set of training rows."""

    def row_passes(self, fit: Fit) -> int:
        """Upper bound of rows through the network: training and validation rows per epoch, test rows."""
        ...

    def measure(self, fit: Fit) -> Measures:
        """Train and score; empty if the fit has no training rows."""
        ...


@dataclass(frozen=True)
class Experiment:
    """The fits of an experiment, and the function that makes result rows of their measures.

    Args:
        name: name of the command and the result file.
        fits: in the order in which they run.
        rows: makes result rows of the measures of finished fits, by key; a row needs all its fits.
    """

    name: str
    fits: tuple[Fit, ...]
    rows: Callable[[Mapping[str, Measures]], list[ResultRow]]


def metric_values(
    done: Mapping[str, Measures], fits: Sequence[Fit], scored: str, target: str, metric: str
) -> list[float]:
    """A metric of each fit; empty if one of them is not finished or lacks it."""
    if any(target not in done.get(fit.key, {}).get(scored, {}) for fit in fits):
        return []
    return [done[fit.key][scored][target][metric] for fit in fits]


def mean_and_deviation(name: str, per_seed: Sequence[float]) -> ResultRow:
    """Mean, and deviation over seeds (0 for one seed), rounded to 5 decimals; None where it is undefined."""
    if np.isnan(per_seed).any():
        return {name: None, f"{name}_sd": None}
    deviation = float(np.std(per_seed, ddof=1)) if len(per_seed) > 1 else 0.0
    return {name: round(float(np.mean(per_seed)), 5), f"{name}_sd": round(deviation, 5)}


def seed_values(per_seed: Sequence[float]) -> ResultRow:
    """The value of each seed, rounded to 5 decimals."""
    return {"seeds": [round(value, 5) for value in per_seed]}


def differences(after: Sequence[float], before: Sequence[float]) -> list[float]:
    """After minus before, per seed."""
    return [new - old for new, old in zip(after, before, strict=True)]
