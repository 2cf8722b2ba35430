"""Scoring on an NVIDIA device gives what the processor gives: plain, padded, captured, and several requests at once."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from export.models.base import TENSORS
from export.models.onnx_export import export_onnx
from export.models.preference_transfer import PreferenceTransfer, export_batched
from services.features.encode import Tensors, tensor_names
from services.ranking.model.execution import ExecutionConfig
from services.ranking.model.onnx_model import OnnxModel
from services.ranking.model.onnx_session import CUDA, open_session
from services.registry.model import Scores
from services.registry.reader import ModelUnavailable
from tests.contract import rank_server
from tests.unit.export.models.quick_models import request
from tests.unit.export.rows.synthetic_rows import WIDTHS
from tests.unit.ranking.model.graphs import write_one

pytestmark = [pytest.mark.integration, pytest.mark.gpu]

CPU = "CPUExecutionProvider"
WAYS = {
    "free": ExecutionConfig(batch_wait_ms=1.0),
    "padded": ExecutionConfig(buckets=(64, 256), batch_wait_ms=1.0),
    "captured": ExecutionConfig(buckets=(64, 256), batch_wait_ms=1.0, cuda_graph=True),
}
SIZES = [1, 64, 65, 200, 256, 600, 3]


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model in both forms; skipped where CUDA cannot be had."""
    folder = tmp_path_factory.mktemp("model")
    try:
        open_session(write_one(folder / "tried.onnx"), [CUDA, CPU], {})
    except ModelUnavailable as error:
        pytest.skip(f"no CUDA here: {error}")
    tensors = {name: [f"{name}_{k}" for k in range(WIDTHS[name])] for name in TENSORS}
    model = PreferenceTransfer(tensors, (32, 16), (8,), members=3)
    export_onnx(model, folder / "model.onnx")
    export_batched(model, folder / "batched.onnx")
    return folder


def asked(items: int) -> tuple[Tensors, np.ndarray]:
    given = request(items, 3)
    return Tensors(**{name: given[name] for name in TENSORS}), given["target"][0]


def assert_close(expected: Scores, found: Scores) -> None:
    for name in ("preference", "transfer", "score", "probability"):
        np.testing.assert_allclose(getattr(found, name), getattr(expected, name), rtol=1e-5, atol=1e-6, err_msg=name)


@pytest.mark.parametrize("way", WAYS)
def test_the_device_scores_as_the_processor_does(directory: Path, way: str) -> None:
    """Any number of candidates, again and again, from several threads."""
    path = directory / "model.onnx"
    here, there = OnnxModel(path, "made/1", [CPU]), OnnxModel(path, "made/1", [CUDA, CPU], WAYS[way])
    requests = [asked(items) for items in SIZES * 4]
    with ThreadPoolExecutor(4) as pool:
        for one, found in zip(requests, pool.map(lambda each: there.score(*each), requests), strict=True):
            assert_close(here.score(*one), found)


@pytest.mark.parametrize("way", WAYS)
def test_the_device_scores_several_requests_as_the_processor_scores_each(directory: Path, way: str) -> None:
    """In one run."""
    path = directory / "model.onnx"
    here, there = OnnxModel(path, "made/1", [CPU]), OnnxModel(path, "made/1", [CUDA, CPU], WAYS[way])
    for sizes in ([5, 60], [1, 2, 3, 4, 5, 6, 7, 8], [200, 200]):
        requests = [asked(items) for items in sizes]
        for one, found in zip(requests, there.score_batch(requests), strict=True):
            assert_close(here.score(*one), found)


@pytest.mark.usefixtures("directory")
def test_a_server_on_the_device_answers_as_one_on_the_processor(tmp_path: Path) -> None:
    """Over gRPC, several callers at once, whose requests are scored together."""
    model = PreferenceTransfer(tensor_names(rank_server.SCHEMA), (32, 16), (8,), members=3)
    export_onnx(model, tmp_path / "model.onnx")
    export_batched(model, tmp_path / "batched.onnx")
    store, items = rank_server.filled_store(), [f"item {number}" for number in range(200)]
    history = rank_server.History(store, epoch=2)
    history.items(*items, texts=[number % 4 for number in range(200)])
    history.events(*[("ann", "shelf", item) for number, item in enumerate(items) for _ in range(number % 7)])
    requests = [rank_server.request(items=items[: 40 * size], explain=True) for size in range(1, 6)] * 8

    def answers(providers: list[str], execution: ExecutionConfig) -> list[dict[str, float]]:
        model = OnnxModel(tmp_path / "model.onnx", "made/1", providers, execution)
        with rank_server.running(store, model, max_workers=8) as server, ThreadPoolExecutor(8) as pool:
            return [rank_server.scores(answer) for answer in pool.map(server.rank, requests)]

    expected = answers([CPU], ExecutionConfig())
    for way, execution in WAYS.items():
        for one, found in zip(expected, answers([CUDA, CPU], execution), strict=True):
            assert found == pytest.approx(one, rel=1e-5, abs=1e-6), way


def test_tensorrt_is_used_or_an_error(directory: Path) -> None:
    """The CPU never replaces it silently."""
    provider = "TensorrtExecutionProvider"
    if provider not in onnxruntime.get_available_providers():
        pytest.skip("this ONNX Runtime is built without TensorRT")
    try:
        session = open_session(directory / "model.onnx", [provider, CPU], {})
    except ModelUnavailable as error:
        assert provider in str(error)
    else:
        assert provider in session.get_providers()
