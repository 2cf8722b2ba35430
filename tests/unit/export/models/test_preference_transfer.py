"""The P/M models: the reference affine form, and what transfer weights depend on."""

from pathlib import Path

import pytest
import torch

from export.models.base import RowTensors
from export.models.preference_transfer import PreferenceTransfer
from export.training.config import config_of
from export.training.selection import Selection
from export.training.source import RowSource
from export.training.train import fit
from tests.unit.export.training.made_rows import write_rows


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_rows(tmp_path_factory.mktemp("rows"))


@pytest.fixture(scope="module")
def trained(directory: Path) -> PreferenceTransfer:
    config = config_of("neural", {"epochs": 3, "hidden": (16, 8), "hidden_g": (8,), "batch_rows": 60})
    model, _ = fit(directory, "neural", config)
    assert isinstance(model, PreferenceTransfer)
    return model


def test_trained_weights_vary_with_user_and_scenario(directory: Path, trained: PreferenceTransfer) -> None:
    """M lies in (0, 1), differs between users and between pairs of scenarios, and follows L_u and S."""
    batch = next(RowSource(directory, "validation").batches())
    scenario, language = torch.from_numpy(batch.scenario), torch.from_numpy(batch.language)
    with torch.no_grad():
        weights = trained.transfer(scenario, language)
        of_other_users = trained.transfer(scenario, language.roll(1, 0))
        of_other_scenarios = trained.transfer(scenario.roll(1, 1), language)
    assert ((weights > 0) & (weights < 1)).all()
    assert (weights.std(0) > 1e-4).all()
    assert weights[0].std() > 1e-3
    assert (weights - of_other_users).abs().max() > 1e-3
    assert (weights - of_other_scenarios).abs().max() > 1e-3


def test_permuting_scenarios_permutes_weights(trained: PreferenceTransfer) -> None:
    """G sees features, never a position: scenarios in another order get the same weights in that order."""
    scenario, language, order = torch.randn(3, 3), torch.randn(1, 3, 2), torch.tensor([2, 0, 1])
    with torch.no_grad():
        weights = trained.transfer(scenario, language)
        permuted = trained.transfer(scenario[order], language[:, order])
    torch.testing.assert_close(permuted, weights[:, order][:, :, order])


def test_dropped_sources_contribute_nothing(directory: Path, trained: PreferenceTransfer) -> None:
    """With one source scenario left, the probability is its preference alone."""
    selection = Selection(dropped_sources=frozenset({"home", "mail"}))
    batch = next(RowSource(directory, "validation", selection).batches())
    rows = RowTensors.of(batch, torch.device("cpu"))
    with torch.no_grad():
        probability = trained.training_probability(rows)
        everywhere = trained.preference_of_rows(rows)
    torch.testing.assert_close(everywhere[:, 2], probability)
