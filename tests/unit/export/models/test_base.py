"""What all kinds have in common: training and serving compute the same, exported or not."""

from pathlib import Path

import numpy as np
import pytest
import torch

from export.models.base import Model, RunningStats, Standardise, combine_preferences
from export.models.kinds import KINDS, load_kind
from export.models.onnx_export import requests_of
from export.rows.reader import RowSource
from tests.unit.export.models.quick_models import request, train_all
from tests.unit.export.rows.synthetic_rows import write_rows


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_rows(tmp_path_factory.mktemp("rows"))


@pytest.fixture(scope="module")
def trained(directory: Path) -> dict[str, Model]:
    """One model of each kind."""
    return train_all(directory)


@pytest.mark.parametrize("kind", KINDS)
def test_training_and_serving_give_the_same_probability(kind: str, directory: Path, trained: dict[str, Model]) -> None:
    """Rows of many contexts at once, and the same rows request by request, get equal probabilities."""
    model, batch = trained[kind], next(RowSource(directory, "validation").batches())
    together = model.probability(batch)
    for members, inputs in requests_of(batch):
        np.testing.assert_allclose(model.outputs(inputs)[3], together[members], atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_score_is_the_weighted_sum_of_preferences(kind: str, trained: dict[str, Model]) -> None:
    """R = sum_j M[j] P[n,j] and probability = R / sum M, with P and M in 0..1, for every kind."""
    preference, transfer, score, probability = trained[kind].outputs(request(5, 3))
    assert ((preference >= 0) & (preference <= 1)).all()
    assert ((transfer >= 0) & (transfer <= 1)).all()
    np.testing.assert_allclose(preference @ transfer, score, atol=1e-6)
    np.testing.assert_allclose(score / transfer.sum(), probability, atol=1e-6)


@pytest.mark.parametrize("kind", sorted(set(KINDS) - {"affine", "neural"}))
def test_other_kinds_have_the_target_as_weights(kind: str, trained: dict[str, Model]) -> None:
    """Without transfer, a scenario counts as much as it is the target."""
    given = request(4, 3)
    np.testing.assert_array_equal(given["target"][0], trained[kind].outputs(given)[1])


@pytest.mark.parametrize("kind", [name for name in KINDS if load_kind(name).build])
def test_scales_come_from_the_training_rows(kind: str, directory: Path, trained: dict[str, Model]) -> None:
    """Every torch kind standardises the item features to mean 0 and deviation 1 on the training rows."""
    item = np.concatenate([batch.item for batch in RowSource(directory, "train").batches()])
    standardise = trained[kind].standardise["item"]
    np.testing.assert_allclose(item.mean(0), standardise.mean.numpy(), rtol=1e-5)
    np.testing.assert_allclose(1 / item.std(0), standardise.scale.numpy(), rtol=1e-5)


def test_statistics_accumulate_and_constants_keep_their_scale() -> None:
    """Mean and deviation of all batches together; a constant feature is only shifted; outliers are clipped."""
    values = np.random.default_rng(0).normal(3, 2, (100, 2)).astype(np.float32)
    values[:, 1] = 17.3
    statistics = RunningStats()
    statistics.add(values[:30])
    statistics.add(values[30:])
    np.testing.assert_allclose(values.mean(0, dtype=np.float64), statistics.mean, rtol=1e-6)
    assert 0 == statistics.deviation[1]
    standardise = Standardise(2)
    standardise.set_statistics(statistics)
    assert [8.0, 1.0] == pytest.approx(standardise(torch.tensor([1e9, 18.3])).tolist(), abs=1e-5)


def test_worked_example() -> None:
    """M = 0.8 and P = (0.9, 0.7, 0.5) give R = (0.72, 0.56, 0.40), with one source scenario."""
    score, probability = combine_preferences(torch.tensor([[0.9], [0.7], [0.5]]), torch.tensor([0.8]))
    assert [0.72, 0.56, 0.40] == pytest.approx(score.tolist())
    assert [0.9, 0.7, 0.5] == pytest.approx(probability.tolist())
