"""The P/M models in PyTorch and through their exported ONNX graphs."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from export.onnx_export import INPUTS, OUTPUTS, ExportMismatch, check_onnx, export_onnx, open_session, score_onnx
from export.training.model import PreferenceTransfer
from export.training.rows import Rows, batches
from export.training.train import AFFINE, NEURAL, TrainingConfig, score, train

pytestmark = pytest.mark.integration

WIDTHS = {"scenario": 5, "behavior": 4, "language": 3, "item": 2, "item_text": 3, "cross": 2}


def made_rows(count: int = 1200, sources: int = 3) -> Rows:
    """Seeded rows whose label follows the first cross feature of the target scenario."""
    random = np.random.default_rng(0)
    contexts = count // 6
    cross = random.normal(size=(count, sources, 2)).astype(np.float32)
    target = random.integers(0, sources, count)
    truth = cross[np.arange(count), target, 0] + 0.3 * random.normal(size=count)
    return Rows(
        request_id=np.array([f"r{n // 6}" for n in range(count)], object),
        split=np.array(["train"] * (count // 2) + ["validation"] * (count // 4) + ["test"] * (count // 4), object),
        label=(truth > 0).astype(np.int64),
        target=target,
        context=np.arange(count) // 6,
        text=random.integers(0, 4, count),
        item=random.normal(size=(count, 2)).astype(np.float32),
        cross=cross,
        behavior=random.normal(size=(contexts, sources, 4)).astype(np.float32),
        language=random.normal(size=(contexts, sources, 3)).astype(np.float32),
        moment=np.zeros(contexts, np.int64),
        scenario=random.normal(size=(1, sources, 5)).astype(np.float32),
        item_text=random.normal(size=(4, 3)).astype(np.float32),
        user=np.array([f"u{n // 6}" for n in range(count)], object),
        item_id=np.array([f"i{n}" for n in range(count)], object),
        time_s=np.zeros(count),
    )


def affine_for_the_worked_example() -> PreferenceTransfer:
    """An affine model in which M is 0.8 and P the sigmoid of the first item feature."""
    model = PreferenceTransfer(WIDTHS, (), ())
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
        model.f_parts["item"].weight[0, 0] = 1.0
        model.g_source["scenario"].bias[0] = float(np.log(0.8 / 0.2))
    return model.eval()


def inputs(items: int, sources: int) -> dict[str, np.ndarray]:
    zeros = {
        "scenario": (sources, 5),
        "behavior": (1, sources, 4),
        "language": (1, sources, 3),
        "item": (items, 2),
        "item_text": (items, 3),
        "cross": (items, sources, 2),
    }
    made = {name: np.zeros(shape, np.float32) for name, shape in zeros.items()}
    return {**made, "target": np.eye(sources, dtype=np.float32)[:1]}


def test_worked_example_through_the_exported_affine_graph(tmp_path: Path) -> None:
    """M = 0.8 and P = (0.9, 0.7, 0.5) give R = (0.72, 0.56, 0.40), with one source scenario."""
    export_onnx(affine_for_the_worked_example(), WIDTHS, tmp_path / "model.onnx")
    given = inputs(3, 1)
    wanted = np.array([0.9, 0.7, 0.5])
    given["item"][:, 0] = np.log(wanted / (1 - wanted))
    preference, transfer, score_, probability = open_session(tmp_path / "model.onnx").run(OUTPUTS, given)
    np.testing.assert_allclose(preference[:, 0], [0.9, 0.7, 0.5], atol=1e-6)
    np.testing.assert_allclose(transfer, [0.8], atol=1e-6)
    np.testing.assert_allclose(score_, [0.72, 0.56, 0.40], atol=1e-6)
    np.testing.assert_allclose(probability, [0.9, 0.7, 0.5], atol=1e-6)


@pytest.mark.parametrize("config", [AFFINE, NEURAL], ids=["affine", "neural"])
def test_export_equals_pytorch_and_takes_any_size(config: TrainingConfig, tmp_path: Path) -> None:
    """The graph agrees with PyTorch to 1e-5, also for one item, one scenario, and more than in training."""
    rows, path = made_rows(), tmp_path / "model.onnx"
    model, _ = train(rows, WIDTHS, replace(config, epochs=2, contexts_per_batch=16))
    export_onnx(model, WIDTHS, path)
    assert check_onnx(model, path, rows) < 1e-5
    session = open_session(path)
    for items, sources in [(1, 1), (1, 3), (200, 7)]:
        given = inputs(items, sources)
        with torch.no_grad():
            expected = model(*(torch.from_numpy(given[name]) for name in INPUTS))
        for left, right in zip(expected, session.run(OUTPUTS, given), strict=True):
            np.testing.assert_allclose(right, left.numpy(), atol=1e-5)


def test_training_rows_and_served_requests_score_alike(tmp_path: Path) -> None:
    """The batched training path and the graph, request by request, order rows the same."""
    rows, path = made_rows(), tmp_path / "model.onnx"
    model, _ = train(rows, WIDTHS, replace(NEURAL, epochs=1))
    export_onnx(model, WIDTHS, path)
    probability, served = score(model, rows), score_onnx(path, rows)
    for request in range(5):
        members = np.flatnonzero((rows.context == request) & (rows.target == rows.target[request * 6]))
        assert np.argsort(probability[members]).tolist() == np.argsort(served[members]).tolist()


def test_training_is_seeded_and_learns() -> None:
    """The same seed gives the same scores; the held-out AUC is far above chance."""
    rows = made_rows()
    models = [train(rows, WIDTHS, replace(NEURAL, epochs=6, contexts_per_batch=16)) for _ in range(2)]
    np.testing.assert_array_equal(score(models[0][0], rows), score(models[1][0], rows))
    assert max(epoch.validation_auc for epoch in models[0][1]) > 0.7


def test_mismatch_is_an_error(tmp_path: Path) -> None:
    """A graph of another model is refused, with the size of the difference."""
    rows, path = made_rows(), tmp_path / "model.onnx"
    torch.manual_seed(1)
    export_onnx(PreferenceTransfer(WIDTHS, (8,), (4,)), WIDTHS, path)
    with pytest.raises(ExportMismatch, match="differs from PyTorch by"):
        check_onnx(PreferenceTransfer(WIDTHS, (8,), (4,)).eval(), path, rows)


def test_transfer_weights_follow_scenario_and_language() -> None:
    """M lies in (0, 1) and changes with S and with L_u; permuting scenarios permutes it."""
    torch.manual_seed(0)
    model = PreferenceTransfer(WIDTHS, (8,), (4,)).eval()
    scenario, language = torch.randn(3, 5), torch.randn(1, 3, 3)
    with torch.no_grad():
        weights = model.transfer(scenario, language)
        order = torch.tensor([2, 0, 1])
        permuted = model.transfer(scenario[order], language[:, order])
        other = model.transfer(scenario, torch.randn(1, 3, 3))
    assert ((weights > 0) & (weights < 1)).all()
    assert not torch.allclose(weights, other)
    torch.testing.assert_close(permuted, weights[:, order][:, :, order])


def test_batches_hold_every_row_once() -> None:
    """Whole contexts, shuffled or not."""
    rows = made_rows(60)
    for generator in (None, np.random.default_rng(0)):
        made = list(batches(rows, 3, generator))
        assert sorted(np.concatenate([batch.rows for batch in made]).tolist()) == list(range(60))
        for batch in made:
            np.testing.assert_array_equal(batch.contexts[batch.row_context], rows.context[batch.rows])
