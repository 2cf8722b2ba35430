"""What training adds to rows."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from export.models.base import RowTensors
from export.models.pooled import Pooled
from export.models.preference_transfer import PreferenceTransfer
from export.rows.reader import RowBatch, RowSource
from export.training.augmentation import Additions, history_columns, masked, nearest_texts, softened
from export.training.config import config_of
from export.training.train import fit
from services.errors import ConfigurationError
from tests.unit.export.rows.made_rows import SOURCES, TENSORS, write_rows


@pytest.fixture
def source(tmp_path: Path) -> RowSource:
    return RowSource(write_rows(tmp_path), "train")


@pytest.fixture
def batch(source: RowSource) -> RowBatch:
    return next(source.batches())


def test_masking_hides_the_users_history_in_a_scenario_alone(batch: RowBatch) -> None:
    """Totals over scenarios and the population's engagement stay; so does everything of what is not hidden."""
    changed = masked(batch, 0.5, history_columns(TENSORS), np.random.default_rng(0))
    hidden = (changed.language == 0).all(axis=2)
    assert 0 < hidden.mean() < 1
    names = TENSORS["behavior"]
    own, overall = names.index("scenario_purchase_3600s"), names.index("all_purchase_3600s")
    np.testing.assert_array_equal(changed.behavior[..., own], np.where(hidden, 0, batch.behavior[..., own]))
    np.testing.assert_array_equal(changed.behavior[..., overall], batch.behavior[..., overall])
    rows, names = hidden[batch.row_context], TENSORS["cross"]
    own, overall = names.index("user_scenario_item_3600s"), names.index("item_scenario_engagement_3600s")
    np.testing.assert_array_equal(changed.cross[..., own], np.where(rows, 0, batch.cross[..., own]))
    np.testing.assert_array_equal(changed.cross[..., overall], batch.cross[..., overall])


def test_masking_nothing_changes_nothing(batch: RowBatch) -> None:
    """A share of 0."""
    changed = masked(batch, 0.0, history_columns(TENSORS), np.random.default_rng(0))
    for name in ("behavior", "language", "cross"):
        np.testing.assert_array_equal(getattr(changed, name), getattr(batch, name))


def test_nearest_texts_are_by_angle() -> None:
    """Not by length, and a text is not its own neighbour."""
    texts = np.array([[1, 0], [9, 1], [0, 1], [0.1, 5]], np.float32)
    assert nearest_texts(texts, 1).tolist() == [[1], [0], [3], [2]]
    assert nearest_texts(texts, 10).shape == (4, 3)


def test_negatives_near_a_positive_of_their_request_are_softened(batch: RowBatch) -> None:
    """Not those of another request, nor positives."""
    four = replace(
        batch,
        label=np.array([1, 0, 0, 0]),
        text=np.array([0, 1, 2, 1]),
        target=np.array([1, 1, 1, 2]),
        row_context=np.zeros(4, np.int64),
    )
    assert softened(four, np.array([[1], [0], [3], [2]]), 0.2).tolist() == pytest.approx([1, 0.2, 0, 0])


@pytest.mark.parametrize(
    "wrong", [{"mask_history": 1.0}, {"neighbour_label": -0.1}, {"weigh_by_transfer": "moon"}], ids=str
)
def test_choices_out_of_range_are_errors_that_name_them(wrong: dict[str, float], source: RowSource) -> None:
    """Before anything is trained."""
    with pytest.raises(ConfigurationError, match=f"training.{next(iter(wrong))}"):
        Additions(config_of("neural", wrong), source, PreferenceTransfer(TENSORS, (4,), (2,)))


def test_only_models_with_transfer_weights_weigh_by_them(source: RowSource) -> None:
    """Another kind is an error."""
    with pytest.raises(ConfigurationError, match="only affine and neural"):
        Additions(config_of("pooled", {"weigh_by_transfer": "mail"}), source, Pooled(TENSORS, (4,)))


def test_rows_of_other_targets_count_by_their_weight_for_the_scarce_one(source: RowSource) -> None:
    """M[scarce, target] of their context; the scarce target's own rows count 1."""
    model = PreferenceTransfer(TENSORS, (4,), (2,)).eval()
    additions = Additions(config_of("neural", {"weigh_by_transfer": "mail"}), source, model)
    rows = RowTensors.of(next(source.batches()), torch.device("cpu"))
    with torch.no_grad():
        transfer = model.transfer(rows.scenario, rows.language)
    mail = SOURCES.index("mail")
    expected = [
        1.0 if target == mail else float(transfer[context, mail, target])
        for context, target in zip(rows.row_context.tolist(), rows.target.tolist(), strict=True)
    ]
    assert additions.weights(rows).tolist() == pytest.approx(expected)


def test_nothing_is_added_by_default(source: RowSource) -> None:
    """The batch itself, its labels, and no weights."""
    additions = Additions(config_of("neural"), source, PreferenceTransfer(TENSORS, (4,), (2,)))
    batch = next(source.batches())
    assert additions.rows(batch, np.random.default_rng(0)) is batch
    assert additions.labels(batch).tolist() == batch.label.tolist()
    assert additions.weights(RowTensors.of(batch, torch.device("cpu"))) is None


@pytest.mark.parametrize(
    "addition", [{"mask_history": 0.3}, {"neighbour_label": 0.2}, {"weigh_by_transfer": "mail"}], ids=str
)
def test_training_with_an_addition_learns_something_else(addition: dict[str, float], source: RowSource) -> None:
    """The same seed ends with other weights, which still rank above chance."""
    small = {"hidden": (8,), "hidden_g": (4,), "epochs": 6, "batch_rows": 32, "learning_rate": 1e-2}
    plain, added = (
        fit(source.directory, "neural", config_of("neural", small, given))[1][-1] for given in ({}, addition)
    )
    assert added.train_loss != plain.train_loss
    assert added.validation_auc > 0.55
