"""Scarcity: how good rankings of a target scenario are when little or none of it was seen in training.

Arms: `joint` trains on the other scenarios and a fraction of the target, `alone` on that fraction only, `pooled` on
the joint rows with a network that is not told the scenario. All are tested on the target's own test rows.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from export.experiments.fits import Experiment, Fit, Measures, Row, seeds, spread, values
from export.rows.selection import Selection

FRACTIONS = (0.0, 0.01, 0.02, 0.05, 0.10, 1.0)
ARMS = ("joint", "alone", "pooled")


@dataclass(frozen=True)
class Scarcity:
    """What is compared.

    Args:
        kind: kind of model of the arms `joint` and `alone`.
        targets: scenarios that become scarce, each in turn.
        trained: all scenarios that have training rows.
        untold: features `tensor/name` that the pooled network does not get.
        seeds: number of repetitions.
        user_share: share of the users whose rows are trained on.
        fractions: of the target's training rows.
    """

    kind: str
    targets: Sequence[str]
    trained: Sequence[str]
    untold: frozenset[str]
    seeds: int
    user_share: float = 1.0
    fractions: Sequence[float] = FRACTIONS

    def fits_of(self, target: str, fraction: float, arm: str) -> list[Fit]:
        """The fits of a row, one per seed; with all rows the joint arms are the same for every target."""
        shares = {target: fraction} if fraction < 1 else {}
        if arm == "alone":
            shares |= {other: 0.0 for other in self.trained if other != target}
        name = f"{arm}, {target} {fraction:.0%}" if shares else arm
        kind, untold = ("pooled", self.untold) if arm == "pooled" else (self.kind, frozenset[str]())
        return [Fit(name, kind, seed, Selection(shares, self.user_share, seed, untold)) for seed in range(self.seeds)]

    def cells(self) -> list[tuple[str, float, str]]:
        """Target, fraction and arm of each row. Alone with nothing is no arm."""
        wanted = [(t, f, arm) for f in sorted(self.fractions) for t in self.targets for arm in ARMS]
        return [(target, fraction, arm) for target, fraction, arm in wanted if fraction > 0 or arm != "alone"]

    def rows(self, done: Mapping[str, Measures]) -> list[Row]:
        """Rows whose fits are done."""
        result = []
        for target, fraction, arm in self.cells():
            fits = self.fits_of(target, fraction, arm)
            if found := values(done, fits, "test", target, "auc"):
                ndcg = values(done, fits, "test", target, "ndcg_at_10")
                head = {"target": target, "fraction": fraction, "arm": arm}
                result.append({**head, **spread("auc", found), **spread("ndcg_at_10", ndcg), **seeds(found)})
        return result

    def experiment(self) -> Experiment:
        """The experiment; the first seed of everything comes first."""
        fits = {fit.key: fit for cell in self.cells() for fit in self.fits_of(*cell)}
        return Experiment("scarcity", tuple(sorted(fits.values(), key=lambda fit: fit.seed)), self.rows)
