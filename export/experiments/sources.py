"""Sources: what each source scenario gives, by taking its transfer weight away.

Once from the trained model (M[:, j] = 0 in scoring), and once from training on: the difference is what the others
can make up for.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from export.experiments.fits import Experiment, Fit, Measures, Row, changes, seeds, spread, values
from export.rows.selection import Selection


@dataclass(frozen=True)
class Sources:
    """What is taken away.

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
        """The model with all sources, per seed; scored without each."""
        selections = [Selection(user_share=self.user_share, seed=seed) for seed in range(self.seeds)]
        return [Fit("full", self.kind, s.seed, s, removed=tuple(self.sources)) for s in selections]

    def without(self, source: str) -> list[Fit]:
        """The model trained without a source, per seed."""
        left_out = frozenset({source})
        selections = [Selection({}, self.user_share, seed, dropped_sources=left_out) for seed in range(self.seeds)]
        return [Fit(f"without {source}", self.kind, selection.seed, selection) for selection in selections]

    def rows(self, done: Mapping[str, Measures]) -> list[Row]:
        """Rows whose fits are done."""
        result = []
        for target in ("all", *self.targets):
            before = values(done, self.full(), "test", target, "auc")
            for source in self.sources:
                retrained = values(done, self.without(source), "test", target, "auc")
                if not before or not retrained:
                    continue
                removed = values(done, self.full(), f"without {source}", target, "auc")
                row = {"target": target, "removed": source, **spread("auc_change", changes(removed, before))}
                row |= spread("retrained_auc_change", changes(retrained, before))
                result.append({**row, **seeds(changes(removed, before))})
        return result

    def experiment(self) -> Experiment:
        """The experiment; the first seed of everything comes first."""
        fits = [*self.full(), *(fit for source in self.sources for fit in self.without(source))]
        return Experiment("sources", tuple(sorted(fits, key=lambda fit: fit.seed)), self.rows)
