"""Measurements of the benchmark of the model alone."""

import json
from pathlib import Path

import pytest

from services.registry.reader import ModelUnavailable, describe_file
from services.settings.load import Settings
from services.settings.processes import RankingSettings
from tests.bench.score import CANDIDATES, REQUESTS, run_bench_score
from tests.unit.ranking.model.graphs import write_batched, write_one

TENSORS = {name: ["a", "b"] for name in ("scenario", "behavior", "language", "item", "item_text", "cross")}


def settings_of(folder: Path, **fields: object) -> Settings:
    """Settings that name a small model in a registry."""
    directory = folder / "small" / "1"
    directory.mkdir(parents=True)
    write_one(directory / "model.onnx")
    write_batched(directory / "batched.onnx")
    known = {"schema_fingerprint": 1, "encoder_fingerprint": 1, "features": {}, "sources": ["x", "y", "z"]}
    files = {path.name: describe_file(path) for path in directory.iterdir()}
    manifest = {"format": 1, "name": "small", "version": 1, "tensors": TENSORS, "files": files, **known, **fields}
    (directory / "manifest.json").write_text(json.dumps(manifest))
    return Settings(registry_dir=folder, ranking=RankingSettings(model="small"))


def test_every_number_of_candidates_and_requests_is_timed(tmp_path: Path) -> None:
    """Per number of candidates and requests, with the workload."""
    found = run_bench_score(settings_of(tmp_path), ["CPUExecutionProvider"], 2)
    measured = found["providers"]["CPUExecutionProvider"]
    assert {str(items) for items in CANDIDATES} == set(measured["candidates"])
    assert {"candidates_each", *(str(count) for count in REQUESTS)} == set(measured["requests_in_one_run"])
    assert {"p50_ms", "p99_ms", "cpu_ms"} == set(measured["candidates"]["200"])
    assert all(measured["concurrent"][way] > 0 for way in ("alone_per_s", "batched_per_s"))
    assert ("small/1", 3, 2) == (found["model"], found["workload"]["sources"], found["workload"]["runs"])


def test_a_model_without_a_batched_graph_is_timed_one_by_one(tmp_path: Path) -> None:
    """As the server does."""
    settings = settings_of(tmp_path)
    (path,) = tmp_path.rglob("manifest.json")
    manifest = json.loads(path.read_text())
    del manifest["files"]["batched.onnx"]
    path.write_text(json.dumps(manifest))
    path.with_name("batched.onnx").unlink()
    assert {"candidates"} == set(run_bench_score(settings, [], 1)["providers"]["CPUExecutionProvider"])


@pytest.mark.skipif(Path("/dev/nvidia0").exists(), reason="this machine has an NVIDIA device: CUDA may be obtained")
def test_a_provider_that_is_not_obtained_is_not_timed(tmp_path: Path) -> None:
    """Its results would be those of the CPU."""
    with pytest.raises(ModelUnavailable, match="asked for CUDAExecutionProvider"):
        run_bench_score(settings_of(tmp_path), ["CUDAExecutionProvider"], 1)
