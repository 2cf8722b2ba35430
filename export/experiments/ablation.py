"""Ablation: the change in test metrics when a group of features is left out of training.

A dropped feature has its mean in every row, so the network keeps its size. The cumulative form adds group by group.
"""

from collections.abc import Mapping
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
class Ablation:
    """Choices of the experiment.

    Args:
        kind: kind of model.
        groups: features `tensor/name` of each group, in the order in which `cumulative` adds them.
        seeds: number of repetitions.
        user_share: share of the users whose rows are trained on.
        cumulative: also train on the groups up to each.
    """

    kind: str
    groups: Mapping[str, frozenset[str]]
    seeds: int
    user_share: float = 1.0
    cumulative: bool = False

    def _fits(self, name: str, dropped: frozenset[str]) -> list[Fit]:
        selections = [Selection({}, self.user_share, seed, dropped) for seed in range(self.seeds)]
        return [Fit(name, self.kind, selection.seed, selection) for selection in selections]

    def full(self) -> list[Fit]:
        """The model on all features, per seed."""
        return self._fits("full", frozenset())

    def without(self, group: str) -> list[Fit]:
        """The model without a group, per seed."""
        return self._fits(f"without {group}", self.groups[group])

    def up_to(self, group: str) -> list[Fit]:
        """The model on the groups up to and including this one, per seed."""
        names = list(self.groups)
        later = names[names.index(group) + 1 :]
        return self._fits(f"up to {group}", frozenset[str]().union(*(self.groups[name] for name in later)))

    def rows(self, done: Mapping[str, Measures]) -> list[ResultRow]:
        """First the full model, then a row per group with finished fits."""
        before = metric_values(done, self.full(), "test", "all", "auc")
        if not before:
            return []
        arms = [("full", "", self.full())]
        arms += [("without", group, self.without(group)) for group in self.groups]
        arms += [("up to", group, self.up_to(group)) for group in self.groups] if self.cumulative else []
        result = []
        for arm, group, fits in arms:
            if auc := metric_values(done, fits, "test", "all", "auc"):
                ndcg = metric_values(done, fits, "test", "all", "ndcg_at_10")
                row = {"arm": arm, "group": group, "features": len(self.groups.get(group, ()))}
                row |= {**mean_and_deviation("auc", auc), **mean_and_deviation("ndcg_at_10", ndcg)}
                result.append({**row, **mean_and_deviation("auc_change", differences(auc, before)), **seed_values(auc)})
        return result

    def experiment(self) -> Experiment:
        """The experiment; all fits of the first seed come first."""
        fits = [*self.full(), *(fit for group in self.groups for fit in self.without(group))]
        if self.cumulative:
            fits += [fit for group in self.groups for fit in self.up_to(group)]
        return Experiment("ablation", tuple(sorted(fits, key=lambda fit: fit.seed)), self.rows)
