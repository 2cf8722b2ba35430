"""Exported graphs of every kind against the models themselves."""

from pathlib import Path

import numpy as np
import pytest
import torch

from export.models.base import INPUTS, OUTPUTS, Model
from export.models.kinds import KINDS, load_kind
from export.models.onnx_export import (
    SAMPLE_ITEMS,
    check_batched,
    check_onnx,
    export_onnx,
    requests_of,
    sample_requests,
    score_onnx,
)
from export.models.preference_transfer import PreferenceTransfer, export_batched
from export.onnx_check import ExportMismatch, open_session
from export.rows.reader import RowSource
from services.ranking.model.execution import ExecutionConfig
from services.ranking.model.onnx_model import OnnxModel
from services.ranking.model.onnx_session import PaddedGraph
from services.registry.samples import check_samples, read_samples, write_samples
from tests.unit.export.models.quick_models import request, train_all
from tests.unit.export.rows.synthetic_rows import TENSORS, WIDTHS, write_rows

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_rows(tmp_path_factory.mktemp("rows"))


@pytest.fixture(scope="module")
def trained(directory: Path) -> dict[str, Model]:
    """One model of each kind."""
    return train_all(directory)


@pytest.mark.parametrize("kind", KINDS)
def test_exported_graph_equals_the_model_for_any_size(
    kind: str, directory: Path, trained: dict[str, Model], tmp_path: Path
) -> None:
    """ONNX agrees to 1e-5 on real rows, and for one item, one scenario, unseen scenarios and a spread posterior."""
    model, path = trained[kind], tmp_path / "model.onnx"
    load_kind(kind).export(model, path)
    assert check_onnx(model, path, RowSource(directory, "validation")) <= 1e-5
    session = open_session(path)
    assert set(INPUTS) == {given.name for given in session.get_inputs()}
    for items, sources in [(1, 1), (1, 3), (50, 7)]:
        given = request(items, sources)
        for actual, expected in zip(session.run(OUTPUTS, given), model.outputs(given), strict=True):
            np.testing.assert_allclose(actual, expected, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_the_kinds_with_transfer_weights_have_a_batched_graph(
    kind: str, directory: Path, trained: dict[str, Model], tmp_path: Path
) -> None:
    """It agrees with the graph of one request on real rows; other kinds have none."""
    single, batched, export = tmp_path / "model.onnx", tmp_path / "batched.onnx", load_kind(kind).export_batched
    assert (kind in {"affine", "neural"}) == (export is not None)
    if export:
        export(trained[kind], batched)
        load_kind(kind).export(trained[kind], single)
        assert check_batched(single, batched, RowSource(directory, "validation")) <= 1e-5


@pytest.mark.parametrize(
    "execution", [ExecutionConfig(buckets=(4, 16)), ExecutionConfig(buckets=(4, 16), cuda_graph=True)]
)
def test_exported_graphs_run_in_padded_and_in_fixed_shapes(
    trained: dict[str, Model], tmp_path: Path, execution: ExecutionConfig
) -> None:
    """Fixing the names of the free axes fixes the shapes; a session of its own for each, as CUDA graphs need it."""
    model, path = trained["neural"], tmp_path / "model.onnx"
    export_onnx(model, path)
    graph = PaddedGraph(path, ["CPUExecutionProvider"], execution)
    for items, sources in [(3, 3), (16, 3), (2, 4), (40, 3)]:
        given = request(items, sources)
        for actual, expected in zip(graph.run(given), model.outputs(given), strict=True):
            np.testing.assert_allclose(actual, expected, atol=1e-5)


def test_a_batched_graph_of_another_model_is_rejected(
    directory: Path, trained: dict[str, Model], tmp_path: Path
) -> None:
    """The error names the size of the difference."""
    export_onnx(trained["affine"], tmp_path / "model.onnx")
    export_batched(trained["neural"], tmp_path / "batched.onnx")
    with pytest.raises(ExportMismatch, match="ONNX of several requests differs from ONNX of one by"):
        check_batched(tmp_path / "model.onnx", tmp_path / "batched.onnx", RowSource(directory, "validation"))


@pytest.mark.parametrize("kind", KINDS)
def test_sample_requests_hold_the_graphs_outputs_and_no_real_row(
    kind: str, directory: Path, trained: dict[str, Model], tmp_path: Path
) -> None:
    """A server's own session agrees; the same rows give the same samples, and no sample is a row."""
    load_kind(kind).export(trained[kind], tmp_path / "model.onnx")
    source = RowSource(directory, "train")
    samples = sample_requests(tmp_path / "model.onnx", source)
    write_samples(tmp_path / "samples.npz", samples)
    read = read_samples((tmp_path / "samples.npz").read_bytes())
    assert list(SAMPLE_ITEMS) == [len(sample.expected.score) for sample in read]
    assert check_samples(OnnxModel(tmp_path / "model.onnx", "made/1", ["CPUExecutionProvider"]), read) <= 1e-6
    (again, *_), batch = sample_requests(tmp_path / "model.onnx", source), next(source.batches())
    np.testing.assert_array_equal(samples[0].tensors.cross, again.tensors.cross)
    for name in ("item", "cross", "behavior"):
        made = np.concatenate([getattr(sample.tensors, name) for sample in samples])
        rows = getattr(batch, name).reshape(len(getattr(batch, name)), -1)
        assert not (made.reshape(len(made), 1, -1) == rows[None]).all(axis=2).any()


def test_scores_of_a_batch_come_from_the_graph_request_by_request(
    directory: Path, trained: dict[str, Model], tmp_path: Path
) -> None:
    """Scoring rows through ONNX Runtime gives R of each row."""
    model, batch = trained["neural"], next(RowSource(directory, "validation").batches())
    export_onnx(model, tmp_path / "model.onnx")
    found = score_onnx(open_session(tmp_path / "model.onnx"), batch)
    for members, inputs in requests_of(batch):
        np.testing.assert_allclose(model.outputs(inputs)[2], found[members], atol=1e-5)


def test_mismatch_is_an_error(directory: Path, tmp_path: Path) -> None:
    """A graph of another model is an error that names the difference."""
    torch.manual_seed(1)
    export_onnx(PreferenceTransfer(TENSORS, (8,), (4,)), tmp_path / "model.onnx")
    other = PreferenceTransfer(TENSORS, (8,), (4,)).eval()
    with pytest.raises(ExportMismatch, match="differs from the model by"):
        check_onnx(other, tmp_path / "model.onnx", RowSource(directory, "train"))


def test_worked_example_through_the_exported_affine_graph(tmp_path: Path) -> None:
    """M = 0.8 and P = (0.9, 0.7, 0.5) give R = (0.72, 0.56, 0.40), with one source scenario."""
    model = PreferenceTransfer(TENSORS, (), ())
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
        model.f_first.parts["item"].weight[0, 0] = 1.0
        model.g_source["scenario"].bias[0] = float(np.log(0.8 / 0.2))
    export_onnx(model, tmp_path / "model.onnx")
    shapes = {
        "scenario": (1,),
        "behavior": (1, 1),
        "language": (1, 1),
        "item": (3,),
        "item_text": (3,),
        "cross": (3, 1),
    }
    given = {name: np.zeros((*shape, WIDTHS[name]), np.float32) for name, shape in shapes.items()}
    wanted = np.array([0.9, 0.7, 0.5])
    given["item"][:, 0] = np.log(wanted / (1 - wanted))
    session = open_session(tmp_path / "model.onnx")
    preference, transfer, score, probability = session.run(OUTPUTS, {**given, "target": np.ones((1, 1), np.float32)})
    np.testing.assert_allclose(preference[:, 0], [0.9, 0.7, 0.5], atol=1e-6)
    np.testing.assert_allclose(transfer, [0.8], atol=1e-6)
    np.testing.assert_allclose(score, [0.72, 0.56, 0.40], atol=1e-6)
    np.testing.assert_allclose(probability, [0.9, 0.7, 0.5], atol=1e-6)
