"""Training: seeded, best epoch kept, resumable, the same in several processes."""

from pathlib import Path

import numpy as np
import pytest

from export.evaluation.metrics import auc
from export.models.base import ModelError
from export.models.config import Epoch, TrainingConfig, best_epoch
from export.models.kinds import KINDS, config_of
from export.rows.reader import RowSource, TrainingRowsError
from export.rows.selection import Selection
from export.training.checkpoint import CheckpointMismatch
from export.training.train import fit, score_rows
from services.errors import ConfigurationError
from tests.unit.export.rows.synthetic_rows import write_rows

SMALL = {"hidden": (16, 8), "hidden_g": (4,), "batch_rows": 60, "buffer_rows": 200, "learning_rate": 1e-2}


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_rows(tmp_path_factory.mktemp("rows"), contexts=240)


def config(**overrides: object) -> TrainingConfig:
    return config_of("neural", SMALL, overrides)


def probabilities(model: object, directory: Path) -> np.ndarray:
    return score_rows(model, RowSource(directory, "validation")).probability


def test_training_is_seeded_and_learns(directory: Path) -> None:
    """The same seed gives the same scores to the bit, another seed others; the AUC is far above chance."""
    (one, epochs), (same, _) = (fit(directory, "neural", config(epochs=5)) for _ in range(2))
    other, _ = fit(directory, "neural", config(epochs=5, seed=1))
    np.testing.assert_array_equal(probabilities(one, directory), probabilities(same, directory))
    assert not np.array_equal(probabilities(one, directory), probabilities(other, directory))
    assert max(epoch.validation_auc for epoch in epochs) > 0.75


def test_the_best_epoch_is_kept_and_training_stops_after_it(directory: Path) -> None:
    """The model scores as in its best epoch; `patience` epochs without a better one end training."""
    model, epochs = fit(directory, "neural", config(epochs=40, patience=2, learning_rate=0.1))
    found = score_rows(model, RowSource(directory, "validation"))
    best = best_epoch(epochs)
    assert best.validation_auc == auc(found.label, found.probability)
    assert len(epochs) == best.number + 2 < 40


def test_without_validation_rows_the_last_epoch_counts(tmp_path: Path) -> None:
    """All epochs run: there is no validation AUC to stop by."""
    directory = write_rows(tmp_path / "rows", contexts=20, splits=("train",))
    _, epochs = fit(directory, "neural", config(epochs=4, patience=1))
    assert 4 == len(epochs)
    assert best_epoch(epochs) is epochs[-1]


def test_the_first_of_equally_good_epochs_is_the_best() -> None:
    """A later epoch with the same AUC does not replace it."""
    epochs = [Epoch(1, 0.5, 0.7), Epoch(2, 0.4, 0.8), Epoch(3, 0.3, 0.8)]
    assert epochs[1] is best_epoch(epochs)


class Interrupted(Exception):
    """Raised in place of a kill after an epoch."""


def test_an_interrupted_run_ends_with_the_same_weights(directory: Path, tmp_path: Path) -> None:
    """Stopped after the second epoch and resumed, with dropout and shuffling, it equals an uninterrupted run."""
    chosen, checkpoint = config(epochs=4, patience=4, dropout=0.2), tmp_path / "checkpoint.pt"

    def interrupt(line: str) -> None:
        if "epoch 3" in line:
            raise Interrupted

    with pytest.raises(Interrupted):
        fit(directory, "neural", chosen, checkpoint=checkpoint, log=interrupt)
    lines: list[str] = []
    resumed, epochs = fit(directory, "neural", chosen, checkpoint=checkpoint, resume=True, log=lines.append)
    whole, expected = fit(directory, "neural", chosen)
    assert "neural: resuming after epoch 2" == lines[0]
    assert expected == epochs
    for name, weights in whole.state_dict().items():
        np.testing.assert_array_equal(weights, resumed.state_dict()[name])


def test_a_checkpoint_of_another_run_is_an_error(directory: Path, tmp_path: Path) -> None:
    """Resuming with another learning rate is an error, not a mixture."""
    checkpoint = tmp_path / "checkpoint.pt"
    fit(directory, "neural", config(epochs=1), checkpoint=checkpoint)
    with pytest.raises(CheckpointMismatch, match="training is"):
        fit(directory, "neural", config(epochs=2, learning_rate=1e-3), checkpoint=checkpoint, resume=True)


def test_every_row_is_scored_in_order(directory: Path) -> None:
    """Scores come by row number with the rows' labels."""
    model, _ = fit(directory, "logistic", config_of("logistic", {"epochs": 1}))
    source = RowSource(directory, "validation", batch_rows=50)
    found, columns = score_rows(model, source), source.columns("label")
    np.testing.assert_array_equal(columns["row"], found.row)
    np.testing.assert_array_equal(columns["label"], found.label)


@pytest.mark.parametrize("kind", ["pooled", "lightgbm", "popularity"])
def test_only_models_with_sources_can_drop_them(directory: Path, kind: str) -> None:
    """Dropping a source that no model reads would be an experiment without effect."""
    with pytest.raises(ModelError, match=f"a {kind} model has no source scenarios to drop"):
        fit(directory, kind, config_of(kind), Selection(dropped_sources=frozenset({"mail"})))


def test_nothing_left_to_train_on_is_an_error(directory: Path) -> None:
    """A selection that keeps no row is an error."""
    with pytest.raises(TrainingRowsError, match="no rows of split train are left"):
        fit(directory, "neural", config(), Selection(user_share=0.0))


def test_wrong_kinds_and_choices_are_named() -> None:
    """The error lists the valid ones; a choice of None keeps the kind's own."""
    with pytest.raises(ConfigurationError, match="no kind deep; there are popularity"):
        config_of("deep")
    with pytest.raises(ConfigurationError, match=r"no choice epoch; there are .*epochs"):
        config_of("neural", {"epoch": 3})
    assert config_of("neural") == config_of("neural", {"epochs": None})
    assert 3 == config_of("neural", {"epochs": 2}, {"epochs": 3}).epochs
    assert {"neural", "lightgbm"} < set(KINDS)
