"""Models of a registry in object storage."""

from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import fsspec
import pytest

from services.features.config import FeatureConfig
from services.features.schema import build_schema
from services.ranking.model.loader import ModelLoader
from services.ranking.model.shadow import ShadowScorer
from services.ranking.model.watcher import WatchedModels
from services.registry.reader import ModelUnavailable, Registry, Version
from services.registry.rollout import Rollout, ServingState, serialize_serving
from tests.unit.ranking.model.tiny_models import CPU, ENCODER, other_graph, register, upload

SCHEMA = build_schema(FeatureConfig(text_dims=3))


def watched(location: str, cache: Path) -> WatchedModels:
    registry = Registry(location, cache)
    load = ModelLoader(registry, SCHEMA, ENCODER, CPU)
    return WatchedModels(registry, "tiny", "", load, ShadowScorer(1.0, 8), 60.0)


def serving(models: WatchedModels) -> list[str]:
    return [arm.assignment.model.version for arm in models.deployment.arms]


@pytest.fixture
def remote() -> Iterator[str]:
    """An object storage for one test."""
    url = f"memory://{uuid4().hex}/models"
    yield url
    fsspec.filesystem("memory").rm(url.removesuffix("/models"), recursive=True)


def test_a_registry_in_object_storage_is_served_from_local_copies(tmp_path: Path, remote: str) -> None:
    """New versions, promotions and broken versions as in a directory; cached files are not copied again."""
    upload(register(tmp_path / "made", SCHEMA, 1), remote)
    models = watched(remote, cache=tmp_path / "cache")
    models.open()
    assert ["tiny/1"] == serving(models)
    upload(register(tmp_path / "made", SCHEMA, 2, spoil=other_graph), remote)
    models.poll()
    assert ["tiny/1"] == serving(models)
    assert "a SHA-256 that differs" in models.problems[0]
    upload(register(tmp_path / "made", SCHEMA, 3), remote)
    models.poll()
    assert (["tiny/3"], ()) == (serving(models), models.problems)
    Registry(remote).write("tiny/serving.json", serialize_serving(ServingState(Rollout.of(Version("tiny", 1)))))
    models.poll()
    assert ["tiny/1"] == serving(models)
    copies = sorted(path.name.partition("-")[0] for path in (tmp_path / "cache").glob("*/tiny/*"))
    assert ["1", "3"] == copies


def test_a_corrupted_copy_is_downloaded_again(tmp_path: Path, remote: str) -> None:
    """No manual clean-up is needed."""
    upload(register(tmp_path / "made", SCHEMA, 1), remote)
    watched(remote, cache=tmp_path / "cache").open()
    (copy,) = (tmp_path / "cache").glob("*/tiny/*/model.onnx")
    copy.write_bytes(b"")
    watched(remote, cache=tmp_path / "cache").open()
    assert copy.read_bytes() == (tmp_path / "made" / "tiny" / "1" / "model.onnx").read_bytes()


def test_a_url_of_an_unknown_protocol_is_named() -> None:
    """With the setting."""
    with pytest.raises(ModelUnavailable, match="registry_dir: cannot open nosuch://models: Protocol not known"):
        Registry("nosuch://models")


def test_an_unreadable_registry_leaves_the_deployment_and_is_polled_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The network recovers without any change of a file."""
    register(tmp_path, SCHEMA, 1)
    models = watched(str(tmp_path), tmp_path / "cache")
    models.open()
    register(tmp_path, SCHEMA, 2)
    for failure in (PermissionError("no"), RuntimeError("a client's own error")):
        with monkeypatch.context() as patch:

            def fail(*_: object, failure: Exception = failure, **__: object) -> None:
                raise failure

            patch.setattr(models._registry._files, "ls", fail)
            models.poll()
            assert ["tiny/1"] == serving(models)
            assert str(failure) in models.problems[0]
    models.poll()
    assert (["tiny/2"], ()) == (serving(models), models.problems)
