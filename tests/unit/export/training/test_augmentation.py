"""What training adds to rows."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from export.training.augmentation import (
    Augmentation,
    AugmentationError,
    history_columns,
    masked,
    nearest_texts,
    softened,
)
from export.training.source import RowBatch, RowSource
from tests.unit.export.training.made_rows import TENSORS, write_rows


@pytest.fixture
def batch(tmp_path: Path) -> RowBatch:
    return next(RowSource(write_rows(tmp_path), "train").batches())


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


@pytest.mark.parametrize("wrong", [{"mask_history": 1.0}, {"neighbour_label": -0.1}, {"neighbours": 0}])
def test_numbers_out_of_range_are_errors_that_name_them(wrong: dict[str, float]) -> None:
    """Before anything is trained."""
    with pytest.raises(AugmentationError, match=f"augmentation.{next(iter(wrong))}"):
        Augmentation(**wrong)
