"""Sources: the change in test metrics when a source scenario's transfer weight is 0.

Once in scoring with the trained model (M[:, j] = 0), and once in training and scoring: the difference is what other
sources replace.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from export.experiments.fits import (
    Experiment,
    Fit,
    Measures,
    ResultRow,
    differences,
    mean_and_deviation,
    metric_values,
    seed_values,
)
from export.rows.selection import Selection


@dataclass(frozen=True)
class Sources:
    """Choices of the experiment.

    Args:
        kind: kind of model; must have transfer weights.
        sources: all source scenarios.
        targets: scenarios with test rows.
        seeds: number of repetitions.
        user_share: share of the users whose rows are trained on.
    """

    kind: str
    sources: Sequence[str]
    targets: Sequence[str]
    seeds: int
    user_share: float = 1.0

    def full(self) -> list[Fit]:
        """The model with all sources, per seed; also scored without each of them."""
        selections = [Selection(user_share=self.user_share, seed=seed) for seed in range(self.seeds)]
        return [Fit("full", self.kind, s.seed, s, removed=tuple(self.sources)) for s in selections]

    def without(self, source: str) -> list[Fit]:
        """The model trained without a source, per seed."""
        left_out = frozenset({source})
        selections = [Selection({}, self.user_share, seed, dropped_sources=left_out) for seed in range(self.seeds)]
        return [Fit(f"without {source}", self.kind, selection.seed, selection) for selection in selections]

    def rows(self, done: Mapping[str, Measures]) -> list[ResultRow]:
        """Rows with finished fits."""
        result = []
        for target in ("all", *self.targets):
            before = metric_values(done, self.full(), "test", target, "auc")
            for source in self.sources:
                retrained = metric_values(done, self.without(source), "test", target, "auc")
                if not before or not retrained:
                    continue
                removed = metric_values(done, self.full(), f"without {source}", target, "auc")
                row = {
                    "target": target,
                    "removed": source,
                    **mean_and_deviation("auc_change", differences(removed, before)),
                }
                row |= mean_and_deviation("retrained_auc_change", differences(retrained, before))
                result.append({**row, **seed_values(differences(removed, before))})
        return result

    def experiment(self) -> Experiment:
        """The experiment; all fits of the first seed come first."""
        fits = [*self.full(), *(fit for source in self.sources for fit in self.without(source))]
        return Experiment("sources", tuple(sorted(fits, key=lambda fit: fit.seed)), self.rows)
