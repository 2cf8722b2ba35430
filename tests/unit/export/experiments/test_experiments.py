"""The fits that experiments request, and the results from their metrics."""

from pathlib import Path

import pytest

from export.experiments.ablation import Ablation
from export.experiments.cli import result_table
from export.experiments.fits import ExperimentError, Fit, Measures, mean_and_deviation
from export.experiments.results import ExperimentResults
from export.experiments.run import SECONDS_PER_PASS, remaining_work, run_experiment
from export.experiments.scarcity import Scarcity
from export.experiments.sources import Sources
from export.rows.selection import Selection

TARGETS = ("mail", "shelf")


class ArithmeticTrainer:
    """Metrics as a function of the fit: .5, plus the kept shares of targets, minus dropped features and sources."""

    def __init__(self) -> None:
        self.fitted: list[str] = []

    def row_passes(self, fit: Fit) -> int:
        return round(100 * sum(fit.selection.target_share.get(target, 1.0) for target in TARGETS))

    def measure(self, fit: Fit) -> Measures:
        self.fitted.append(fit.key)
        transfers = fit.kind != "pooled"
        auc = 0.5 + self.row_passes(fit) / 1000 + fit.seed / 100
        auc -= len(fit.selection.dropped_features) / 100 + len(fit.selection.dropped_sources) / 50

        def scored(value: float) -> dict[str, dict[str, float]]:
            return {target: {"auc": value, "ndcg_at_10": value / 2} for target in ("all", *TARGETS)}

        without = {f"without {source}": scored(auc - 0.04) for source in fit.removed}
        own = sum(fit.selection.target_share.get(target, 1.0) for target in TARGETS) / 4 + fit.seed / 10
        shares = {target: {"mail": own, "shelf": 1 - own} for target in TARGETS}
        return {"test": scored(auc), "validation": scored(auc), **without} | ({"shares": shares} if transfers else {})


def scarcity(seeds: int = 2, fractions: tuple[float, ...] = (0.0, 0.1, 1.0)) -> Scarcity:
    return Scarcity("neural", TARGETS, TARGETS, frozenset({"scenario/a"}), seeds, 0.5, fractions)


def test_all_rows_are_fitted_once_for_all_targets() -> None:
    """Joint and pooled at 100 % are one fit per seed; alone at 0 % is none; no fit is there twice."""
    fits = scarcity().experiment().fits
    # Per seed: 2 targets x (0 %: joint, pooled; 10 %: all arms; 100 %: alone) and joint, pooled with everything.
    assert len(fits) == len({fit.key for fit in fits}) == 2 * (2 * (2 + 3 + 1) + 2)
    assert [fit.seed for fit in fits] == [0] * 14 + [1] * 14


def test_arms_differ_in_rows_and_features() -> None:
    """Joint keeps the other scenarios, alone leaves them out, pooled is a joint fit that does not see the scenario."""
    chosen = scarcity()
    joint, alone, pooled = (chosen.fits_of("mail", 0.1, arm)[1] for arm in ("joint", "alone", "pooled"))
    assert (joint.kind, joint.selection) == ("neural", Selection({"mail": 0.1}, 0.5, 1))
    assert (alone.kind, alone.selection) == ("neural", Selection({"mail": 0.1, "shelf": 0.0}, 0.5, 1))
    assert (pooled.kind, pooled.selection) == ("pooled", Selection({"mail": 0.1}, 0.5, 1, frozenset({"scenario/a"})))


def test_scarcity_rows_hold_mean_and_deviation_over_seeds(tmp_path: Path) -> None:
    """In order of fraction, with the value of each seed."""
    rows = run_experiment(scarcity().experiment(), ArithmeticTrainer(), ExperimentResults(tmp_path / "s.json", {}))
    assert len(rows) == 2 * (2 + 3 + 3)
    assert rows[0] == {
        "target": "mail",
        "fraction": 0.0,
        "arm": "joint",
        "auc": 0.605,
        "auc_sd": 0.00707,
        "ndcg_at_10": 0.3025,
        "ndcg_at_10_sd": 0.00354,
        "own_share": 0.3,
        "own_share_sd": 0.07071,
        "shares": {"mail": 0.3, "shelf": 0.7},
        "seeds": [0.6, 0.61],
    }
    pooled = next(row for row in rows if row["arm"] == "pooled")
    assert [None, {}] == [pooled["own_share"], pooled["shares"]]


def test_finished_fits_are_not_repeated(tmp_path: Path) -> None:
    """Another seed adds its own fits only, and the rows are those of one run through."""
    trainer = ArithmeticTrainer()
    run_experiment(scarcity(1).experiment(), trainer, ExperimentResults(tmp_path / "s.json", {"epochs": 2}))
    first = list(trainer.fitted)
    more = run_experiment(scarcity(2).experiment(), trainer, ExperimentResults(tmp_path / "s.json", {"epochs": 2}))
    assert trainer.fitted[: len(first)] == first
    assert all(key.endswith("seed 1") for key in trainer.fitted[len(first) :])
    assert more == run_experiment(
        scarcity(2).experiment(), ArithmeticTrainer(), ExperimentResults(tmp_path / "once.json", {})
    )


def test_a_stopped_experiment_keeps_its_finished_fits(tmp_path: Path) -> None:
    """A failure in the third fit loses that fit alone."""

    class Failing(ArithmeticTrainer):
        def measure(self, fit: Fit) -> Measures:
            if len(self.fitted) == 2:
                raise KeyboardInterrupt
            return super().measure(fit)

    with pytest.raises(KeyboardInterrupt):
        run_experiment(scarcity().experiment(), Failing(), ExperimentResults(tmp_path / "s.json", {}))
    assert len(ExperimentResults(tmp_path / "s.json", {}).done) == 2


def test_results_of_other_settings_are_an_error_that_names_the_settings(tmp_path: Path) -> None:
    """They are dropped only on request."""
    run_experiment(scarcity(1).experiment(), ArithmeticTrainer(), ExperimentResults(tmp_path / "s.json", {"epochs": 2}))
    with pytest.raises(ExperimentError, match="epochs was 2, is 3"):
        ExperimentResults(tmp_path / "s.json", {"epochs": 3})
    assert ExperimentResults(tmp_path / "s.json", {"epochs": 3}, restart=True).done == {}


def test_the_plan_reports_the_remaining_work(tmp_path: Path) -> None:
    """Assumed seconds a pass before the first fit, measured ones after."""
    experiment, trainer = scarcity(1).experiment(), ArithmeticTrainer()
    results = ExperimentResults(tmp_path / "s.json", {})
    before = remaining_work(experiment, trainer, results)
    assert (before.fits, before.done, before.measured) == (14, 0, False)
    assert before.seconds == before.row_passes * SECONDS_PER_PASS
    results.add(experiment.fits[0], trainer.measure(experiment.fits[0]), 20.0, 100)
    after = remaining_work(experiment, trainer, results)
    assert (after.fits, after.done, after.measured) == (13, 1, True)
    assert after.seconds == pytest.approx(0.2 * after.row_passes)


def test_sources_are_removed_in_scoring_and_from_training(tmp_path: Path) -> None:
    """Every target and all of them, against the full model of the same seed."""
    experiment = Sources("neural", ("home", *TARGETS), TARGETS, seeds=2).experiment()
    assert len(experiment.fits) == 2 * (1 + 3)
    rows = run_experiment(experiment, ArithmeticTrainer(), ExperimentResults(tmp_path / "s.json", {}))
    assert [(row["target"], row["removed"]) for row in rows[:4]] == [
        ("all", "home"),
        ("all", "mail"),
        ("all", "shelf"),
        ("mail", "home"),
    ]
    assert {row["auc_change"] for row in rows} == {-0.04}
    assert {row["retrained_auc_change"] for row in rows} == {-0.02}


def test_ablation_drops_each_group_and_adds_them_up(tmp_path: Path) -> None:
    """Changes are against the full model; `up to` the last group is the full model again."""
    groups = {"counts": frozenset({"item/a", "item/b"}), "price": frozenset({"item/c"})}
    rows = run_experiment(
        Ablation("neural", groups, 1, cumulative=True).experiment(),
        ArithmeticTrainer(),
        ExperimentResults(tmp_path / "a", {}),
    )
    assert [(row["arm"], row["group"], row["features"], row["auc_change"]) for row in rows] == [
        ("full", "", 0, 0.0),
        ("without", "counts", 2, -0.02),
        ("without", "price", 1, -0.01),
        ("up to", "counts", 2, -0.01),
        ("up to", "price", 1, 0.0),
    ]


def test_an_undefined_metric_is_a_dash_in_the_table() -> None:
    """Test rows of one class have no AUC."""
    undefined = mean_and_deviation("auc", [float("nan"), 0.5])
    (column,) = [column for column in result_table("scarcity", [undefined]).columns if column.header == "auc"]
    assert ["-"] == list(column.cells)
