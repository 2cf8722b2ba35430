"""Scenarios are recognised by their description."""

import numpy as np
import pytest
import torch

from export.models.base import ModelError
from export.models.known_scenarios import KnownScenarios
from export.models.shared_bottom import SharedBottom
from export.models.star import Star
from export.rows.reader import RowSource
from tests.unit.export.rows.synthetic_rows import TENSORS, write_rows


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> RowSource:
    return RowSource(write_rows(tmp_path_factory.mktemp("rows"), contexts=40), "train")


def test_targets_of_training_are_known_and_others_are_not(source: RowSource) -> None:
    """`mail` and `shelf` are targets in training; `home`, only a source, and a new scenario are not known."""
    known = KnownScenarios(TENSORS, 2)
    known.prepare(source)
    scenario = torch.from_numpy(next(source.batches()).scenario[0])
    assert [[0, 0], [1, 0], [0, 1]] == known(scenario).tolist()
    assert [[0, 0]] == known(torch.randn(1, 3)).tolist()


def test_scenarios_with_one_description_share_membership(source: RowSource) -> None:
    """Membership of two scenarios with one description is split."""
    known = KnownScenarios(TENSORS, 2)
    known.prepare(source)
    known.vectors[1] = known.vectors[0]
    scenario = torch.from_numpy(next(source.batches()).scenario[0])
    assert [0.5, 0.5] == known(scenario)[1].tolist()


def test_rows_without_descriptions_are_an_error() -> None:
    """Scenarios cannot be distinguished then."""
    with pytest.raises(ModelError, match="no feature text_"):
        KnownScenarios({**TENSORS, "scenario": ["purchase_3600s"]}, 2)


def test_shared_bottom_gives_new_scenarios_the_mean_of_the_heads(source: RowSource) -> None:
    """The logit of a scenario never seen is the mean of the known ones' logits."""
    torch.manual_seed(0)
    model = SharedBottom(TENSORS, (8, 4), 2).eval()
    model.prepare(source)
    first, scenario = torch.randn(5, 8), torch.from_numpy(next(source.batches()).scenario[0])
    with torch.no_grad():
        new, mail, shelf = (model.logit(first, scenario[place].expand(5, -1)) for place in range(3))
    assert not torch.allclose(mail, shelf)
    torch.testing.assert_close((mail + shelf) / 2, new)


def test_star_gives_new_scenarios_the_shared_weights_alone(source: RowSource) -> None:
    """A scenario's own weights change its preferences, and not those of an unknown scenario."""
    torch.manual_seed(0)
    model = Star(TENSORS, (8, 4), 2).eval()
    model.prepare(source)
    batch = next(source.batches())
    inputs = {name: getattr(batch, name)[:1] for name in ("behavior", "language")}
    inputs |= {name: getattr(batch, name)[:4] for name in ("item", "item_text", "cross")}
    inputs |= {"scenario": batch.scenario[0], "target": np.eye(3, dtype=np.float32)[:1]}
    before = model.outputs(inputs)[0]
    with torch.no_grad():
        model.layers[0].weight[0] *= 2.0
    after = model.outputs(inputs)[0]
    assert [False, True, False] == (np.abs(after - before).max(0) > 1e-6).tolist()
