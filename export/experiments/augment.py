"""Augmentation: whether masked history, transfer-weighted rows and text neighbours help a scarce scenario.

Each addition is trained on the other scenarios and a few percent of the target, and kept if the target's validation
rows gain more than chance; the test rows are only reported.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from export.experiments.fits import Experiment, Fit, Measures, Row, changes, seeds, spread, values
from export.rows.selection import Selection

SEED_NOISE = 5e-4
"""Standard error of an AUC change that is assumed where one seed cannot tell."""


@dataclass(frozen=True)
class Augmented:
    """What is tried.

    Args:
        kind: kind of model.
        targets: scenarios that become scarce, each in turn.
        seeds: number of repetitions.
        user_share: share of the users whose rows are trained on.
        fraction: of the target's training rows that is left.
    """

    kind: str
    targets: Sequence[str]
    seeds: int
    user_share: float = 1.0
    fraction: float = 0.02

    def additions(self, target: str) -> dict[str, dict[str, Any]]:
        """The additions by name, as choices of TrainingConfig."""
        return {
            "none": {},
            "mask history": {"mask_history": 0.2},
            "weigh by transfer": {"weigh_by_transfer": target},
            "text neighbours": {"neighbour_label": 0.1},
        }

    def fits_of(self, target: str, name: str) -> list[Fit]:
        """The fits of an addition, one per seed."""
        addition = self.additions(target)[name]
        selections = [Selection({target: self.fraction}, self.user_share, seed) for seed in range(self.seeds)]
        return [Fit(f"{name}, {target}", self.kind, s.seed, s, overrides=addition) for s in selections]

    def rows(self, done: Mapping[str, Measures]) -> list[Row]:
        """Rows whose fits are done, against none."""
        result = []
        for target in self.targets:
            for name in list(self.additions(target))[1:]:
                gained = {split: self._gained(done, target, name, split) for split in ("test", "validation")}
                if all(gained.values()):
                    row = {"name": name, "target": target, "fraction": self.fraction}
                    row |= spread("auc_change", gained["test"])
                    row |= spread("validation_auc_change", gained["validation"])
                    result.append({**row, "kept": helps(gained["validation"]), **seeds(gained["test"])})
        return result

    def _gained(self, done: Mapping[str, Measures], target: str, name: str, split: str) -> list[float]:
        """What each seed gained; empty if a fit is not done."""
        after, before = (values(done, self.fits_of(target, fit), split, target, "auc") for fit in (name, "none"))
        return changes(after, before) if after and before else []

    def experiment(self) -> Experiment:
        """The experiment; the first seed of everything comes first."""
        fits = [fit for t in self.targets for name in self.additions(t) for fit in self.fits_of(t, name)]
        return Experiment("augmentation", tuple(sorted(fits, key=lambda fit: fit.seed)), self.rows)


def helps(gained: Sequence[float]) -> bool:
    """Whether the mean change lies above two standard errors over seeds."""
    error = float(np.std(gained, ddof=1)) / len(gained) ** 0.5 if len(gained) > 1 else SEED_NOISE
    return float(np.mean(gained)) > 2 * error
