"""Fits on real training rows, and the commands around them."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from export.experiments.cli import experiment_app
from export.experiments.fits import ExperimentError, Fit
from export.experiments.trainer import RowsTrainer
from export.rows.selection import Selection
from tests.unit.export.rows.synthetic_rows import SOURCES, write_rows

SPLITS = ("train", "validation", "test")
TARGETS = SOURCES[1:]


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A replayed data set called made, where the settings look for it."""
    write_rows(tmp_path / "made" / "rows", contexts=80, group_contexts=20, splits=SPLITS)
    monkeypatch.setenv("CROSSREC_DATA_DIR", str(tmp_path))
    return tmp_path / "made"


@pytest.fixture
def trainer(data: Path) -> RowsTrainer:
    return RowsTrainer(data / "rows", epochs=1, device="cpu")


def test_a_fit_is_measured_on_both_splits_and_without_sources(trainer: RowsTrainer) -> None:
    """Over all rows and per target; a source at weight 0 ranks otherwise."""
    measures = trainer.measure(Fit("full", "affine", 0, removed=("mail",)))
    shares = measures.pop("shares")
    assert list(measures) == ["validation", "test", "without mail"]
    assert all(list(scored) == ["all", *TARGETS] for scored in measures.values())
    assert all(pytest.approx(1, abs=1e-5) == sum(shares[target].values()) for target in SOURCES)
    assert measures["test"]["all"]["auc"] > 0.6
    assert measures["test"]["all"]["auc"] != measures["without mail"]["all"]["auc"]


def test_fits_of_few_rows_make_more_passes(trainer: RowsTrainer) -> None:
    """Otherwise they would not learn; the plan counts the passes."""
    whole, few = Fit("whole", "affine", 0), Fit("few", "affine", 0, Selection({"mail": 0.02, "shelf": 0.02}))
    train, validation, test = 240, 120, 120
    assert trainer.row_passes(whole) == 40 * (train + validation) + validation + test
    assert trainer.row_passes(few) < trainer.row_passes(whole)


def test_a_fit_without_rows_measures_nothing(trainer: RowsTrainer) -> None:
    """A percent of few rows may be none."""
    assert trainer.measure(Fit("none", "affine", 0, Selection(dict.fromkeys(TARGETS, 0.0)))) == {}


def test_targets_are_scenarios_with_rows(trainer: RowsTrainer) -> None:
    """`home` is a source alone."""
    assert trainer.select_targets(None) == TARGETS
    assert trainer.select_targets(["shelf"]) == ["shelf"]
    with pytest.raises(ExperimentError, match="no training and test rows of home; choose mail, shelf"):
        trainer.select_targets(["home"])


def test_sources_need_a_model_with_transfer_weights(trainer: RowsTrainer) -> None:
    """The error names those that have them."""
    with pytest.raises(ExperimentError, match="pooled has no transfer weights; choose affine or neural"):
        trainer.require_transfer("pooled")


def test_rows_without_a_test_split_are_an_error(tmp_path: Path) -> None:
    """Before anything is trained."""
    with pytest.raises(ExperimentError, match="need rows of the splits train and test"):
        RowsTrainer(write_rows(tmp_path, splits=("train", "validation")), 1, "cpu")


@pytest.mark.parametrize(
    ("arguments", "fits", "rows"),
    [
        (["scarcity", "--target", "mail"], 2 + 4 * 3 + 3, 2 + 5 * 3 - 2),  # 1 and 2 % are no row
        (["sources"], 1 + 3, 3 * 3),
        (["ablation"], 1 + 6, 1 + 6),
    ],
    ids=["scarcity", "sources", "ablation"],
)
def test_commands_write_their_results_and_continue_from_them(
    data: Path, arguments: list[str], fits: int, rows: int
) -> None:
    """The remaining work first, then a table; repeated, nothing is left to do."""
    command = [*arguments, "--data", "made", "--seeds", "1", "--epochs", "1", "--model", "affine"]
    first, second = CliRunner().invoke(experiment_app, command), CliRunner().invoke(experiment_app, command)
    assert (first.exit_code, second.exit_code) == (0, 0)
    held = json.loads((data / "experiments" / f"{arguments[0]}.json").read_text())
    assert (len(held["fits"]), len(held["rows"])) == (fits, rows)
    assert f"0 fits done, {fits} left" in first.output.replace("\n", " ")
    assert f"{fits} fits done, 0 left" in second.output.replace("\n", " ")
    assert all(len(row["seeds"]) == 1 for row in held["rows"])
