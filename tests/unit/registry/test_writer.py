"""Registering models: the files of a version, and that a server loads it."""

import json
from dataclasses import asdict
from pathlib import Path
from uuid import uuid4

import fsspec
import pytest

from services.features.config import FeatureConfig
from services.features.encode import tensor_names
from services.features.schema import build_schema
from services.ranking.model.loader import ModelLoader
from services.ranking.model.onnx_model import OnnxModel
from services.registry.promotion import find_serving
from services.registry.reader import Registry, Version, describe_file
from services.registry.writer import register
from tests.unit.ranking.model.tiny_models import CPU, ENCODER, samples_of, write_graph

SCHEMA = build_schema(FeatureConfig(text_dims=3))
MANIFEST = {
    "kind": "neural",
    "schema_fingerprint": SCHEMA.fingerprint,
    "encoder_fingerprint": ENCODER,
    "tensors": tensor_names(SCHEMA),
    "features": asdict(SCHEMA.config),
}


@pytest.fixture(params=["directory", "file", "memory"])
def location(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A registry of each kind."""
    urls = {"directory": f"{tmp_path}/registry", "file": f"file://{tmp_path}/registry", "memory": f"memory://{uuid4()}"}
    return urls[request.param]


@pytest.fixture
def graph(tmp_path: Path) -> Path:
    path = tmp_path / "exported.onnx"
    write_graph(path, SCHEMA)
    return path


def test_a_registered_version_serves(location: str, graph: Path, tmp_path: Path) -> None:
    """From a directory or object storage, with its samples; versions count up."""
    samples = samples_of(OnnxModel(graph, "", CPU), SCHEMA)
    for number in (1, 2):
        where = register(location, "tiny", graph, MANIFEST, {"test": {"all": {"auc": 0.7}}}, samples)
        assert f"{location}/tiny/{number}" == where
    registry = Registry(location, tmp_path / "cache")
    assert [Version("tiny", 2), Version("tiny", 1)] == registry.versions("tiny")
    manifest = registry.manifest(Version("tiny", 2))
    assert ("tiny", 2, {"auc": 0.7}) == (manifest["name"], manifest["version"], manifest["metrics"])
    assert {"model.onnx", "samples.npz"} == set(manifest["files"])
    assert describe_file(graph) == manifest["files"]["model.onnx"]
    assert "tiny/2" == ModelLoader(registry, SCHEMA, ENCODER, CPU)(Version("tiny", 2)).version


def test_a_later_version_serves_only_if_promoted(location: str, graph: Path, tmp_path: Path) -> None:
    """The first of its name serves at once; a second one leaves it serving."""
    registry = Registry(location, tmp_path / "cache")
    for number in (1, 2, 3):
        register(location, "tiny", graph, MANIFEST, {})
        registry.invalidate_listings()
        assert Version("tiny", 1) == find_serving(registry, "tiny", "", "ranking.model"), number
    assert Version("tiny", 3) == find_serving(registry, "tiny", "3", "ranking.model")


def test_a_version_is_complete_or_absent(tmp_path: Path, graph: Path) -> None:
    """A failed registration leaves no files."""
    register(tmp_path, "tiny", graph, MANIFEST, {})
    with pytest.raises(TypeError):
        register(tmp_path, "tiny", graph, {**MANIFEST, "data": object()}, {})
    assert ["1"] == [path.name for path in (tmp_path / "tiny").iterdir()]
    assert {"model.onnx", "manifest.json", "metrics.json"} == {path.name for path in (tmp_path / "tiny/1").iterdir()}


def test_in_object_storage_the_manifest_is_written_last(graph: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A version without it is not served."""
    files, written = fsspec.filesystem("memory"), list[str]()
    original = type(files).pipe_file

    def pipe_file(self: object, path: str, value: bytes, **options: object) -> None:
        written.append(path.rsplit("/", 1)[-1])
        original(self, path, value, **options)

    monkeypatch.setattr(type(files), "pipe_file", pipe_file)
    where = register(f"memory://{uuid4()}", "tiny", graph, MANIFEST, {})
    assert "manifest.json" == written[-1]
    assert ["manifest.json", "metrics.json", "model.onnx"] == sorted(written)
    assert "tiny" == json.loads(files.cat_file(f"{where}/manifest.json"))["name"]
