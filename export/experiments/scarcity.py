"""Scarcity: test metrics on a target scenario that has few or no training rows.

Arms: `joint` trains on the other scenarios and a fraction of the target, `alone` on that fraction only, `pooled` on
the joint rows with a network that does not see the scenario. All are tested on the target's own test rows. `own_share`
is the share of the target's own preference in its transfer weights, `shares` that of every source, the mean over seeds.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from export.experiments.fits import (
    SHARES,
    Experiment,
    Fit,
    Measures,
    ResultRow,
    mean_and_deviation,
    metric_values,
    seed_values,
)
from export.rows.selection import Selection

FRACTIONS = (0.0, 0.01, 0.02, 0.05, 0.10, 1.0)
ARMS = ("joint", "alone", "pooled")


@dataclass(frozen=True)
class Scarcity:
    """Choices of the experiment.

    Args:
        kind: kind of model of the arms `joint` and `alone`.
        targets: scenarios that become scarce, each in turn.
        trained: all scenarios that have training rows.
        hidden_features: features `tensor/name` that the pooled network does not see.
        seeds: number of repetitions.
        user_share: share of the users whose rows are trained on.
        fractions: of the target's training rows.
    """

    kind: str
    targets: Sequence[str]
    trained: Sequence[str]
    hidden_features: frozenset[str]
    seeds: int
    user_share: float = 1.0
    fractions: Sequence[float] = FRACTIONS

    def fits_of(self, target: str, fraction: float, arm: str) -> list[Fit]:
        """The fits of a result row, one per seed; with all rows the joint arms are the same for every target."""
        shares = {target: fraction} if fraction < 1 else {}
        if arm == "alone":
            shares |= {other: 0.0 for other in self.trained if other != target}
        name = f"{arm}, {target} {fraction:.0%}" if shares else arm
        kind, hidden = ("pooled", self.hidden_features) if arm == "pooled" else (self.kind, frozenset[str]())
        return [Fit(name, kind, seed, Selection(shares, self.user_share, seed, hidden)) for seed in range(self.seeds)]

    def conditions(self) -> list[tuple[str, float, str]]:
        """Target, fraction and arm of each result row; `alone` needs a fraction above 0."""
        wanted = [(t, f, arm) for f in sorted(self.fractions) for t in self.targets for arm in ARMS]
        return [(target, fraction, arm) for target, fraction, arm in wanted if fraction > 0 or arm != "alone"]

    def rows(self, done: Mapping[str, Measures]) -> list[ResultRow]:
        """Rows with finished fits."""
        result = []
        for target, fraction, arm in self.conditions():
            fits = self.fits_of(target, fraction, arm)
            if auc := metric_values(done, fits, "test", target, "auc"):
                ndcg = metric_values(done, fits, "test", target, "ndcg_at_10")
                head = {"target": target, "fraction": fraction, "arm": arm}
                result.append(
                    {
                        **head,
                        **mean_and_deviation("auc", auc),
                        **mean_and_deviation("ndcg_at_10", ndcg),
                        **_shares(done, fits, target),
                        **seed_values(auc),
                    }
                )
        return result

    def experiment(self) -> Experiment:
        """The experiment; all fits of the first seed come first."""
        fits = {fit.key: fit for condition in self.conditions() for fit in self.fits_of(*condition)}
        return Experiment("scarcity", tuple(sorted(fits.values(), key=lambda fit: fit.seed)), self.rows)


def _shares(done: Mapping[str, Measures], fits: Sequence[Fit], target: str) -> ResultRow:
    """Shares of the target's transfer weights; None and {} for models without them."""
    per_seed = [done[fit.key].get(SHARES, {}).get(target) for fit in fits]
    known = [shares for shares in per_seed if shares]
    if len(known) < len(fits):
        return {"own_share": None, "own_share_sd": None, "shares": {}}
    own = mean_and_deviation("own_share", [shares[target] for shares in known])
    return {**own, "shares": {source: round(fmean(shares[source] for shares in known), 5) for source in known[0]}}
