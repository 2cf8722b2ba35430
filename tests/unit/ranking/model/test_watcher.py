"""Models that follow the registry: swaps, rejected versions, and unloading."""

import json
import re
import shutil
import threading
import weakref
from collections.abc import Callable
from pathlib import Path

import pytest

from services.errors import CrossRecError
from services.features.config import FeatureConfig
from services.features.schema import build_schema
from services.ranking.model.loader import ModelLoader
from services.ranking.model.shadow import ShadowScorer
from services.ranking.model.watcher import WatchedModels
from services.registry.model import ScoringModel
from services.registry.reader import ModelMismatch, ModelUnavailable, Registry, Version
from services.registry.rollout import Arm, Rollout, RolloutError, ServingState, serialize_serving
from tests.unit.ranking.model.tiny_models import (
    CPU,
    ENCODER,
    change_manifest,
    disagree,
    other_graph,
    register,
    truncate,
)

SCHEMA = build_schema(FeatureConfig(text_dims=3))
NO_SCENARIOS = change_manifest(encoder_fingerprint=8)


class CountingLoader:
    """Loads models, and records the loaded versions."""

    def __init__(self, registry: Registry) -> None:
        self._load, self.versions = ModelLoader(registry, SCHEMA, ENCODER, CPU), list[str]()

    def __call__(self, version: Version) -> ScoringModel:
        self.versions.append(str(version))
        return self._load(version)


def watched(location: str | Path, pinned: str = "", cache: Path = Path("unused")) -> WatchedModels:
    registry = Registry(location, cache)
    return WatchedModels(registry, "tiny", pinned, CountingLoader(registry), ShadowScorer(1.0, 8), 0.001)


def loaded_versions(models: WatchedModels) -> list[str]:
    return models._load.versions  # type: ignore[attr-defined]


def serving(models: WatchedModels) -> list[str]:
    return [arm.assignment.model.version for arm in models.deployment.arms]


def set_rollout(registry: Path, plan: Rollout) -> None:
    Registry(registry).write("tiny/serving.json", serialize_serving(ServingState(plan)))


def test_the_newest_version_takes_over_when_it_appears(tmp_path: Path) -> None:
    """It is loaded once; another poll changes nothing."""
    register(tmp_path, SCHEMA, 1)
    models = watched(tmp_path)
    models.open()
    before = models.deployment
    models.poll()
    assert before is models.deployment
    register(tmp_path, SCHEMA, 2)
    models.poll()
    models.poll()
    assert ["tiny/2"] == serving(models)
    assert ["tiny/1", "tiny/2"] == loaded_versions(models)
    assert () == models.problems


def test_a_request_in_flight_keeps_its_model(tmp_path: Path) -> None:
    """An assigned model still scores after the swap, and is freed when it is no longer referenced."""
    register(tmp_path, SCHEMA, 1)
    models = watched(tmp_path)
    models.open()
    held = models.assign("ann")
    gone = weakref.ref(held.model)
    register(tmp_path, SCHEMA, 2)
    models.poll()
    assert ("tiny/1", "tiny/2") == (held.model.version, models.assign("ann").model.version)
    assert gone() is not None
    del held
    assert gone() is None


@pytest.mark.parametrize(
    ("spoil", "problem"),
    [
        (truncate, "ONNX Runtime cannot open"),
        (other_graph, "model.onnx has a SHA-256 that differs from the registered one"),
        (lambda path: (path / "model.onnx").write_bytes(b""), "model.onnx has 0 bytes, registered with"),
        (lambda path: (path / "model.onnx").unlink(), "model.onnx is missing"),
        (lambda path: (path / "samples.npz").unlink(), "samples.npz is missing"),
        (disagree, r"its probability of sample request \d differs by 0.01\d* from the exported value, allowed: 0.001"),
        (change_manifest(encoder_fingerprint=8), "text encoder 8 in the model, 7 here"),
        (change_manifest(schema_fingerprint=1), "feature schema 1 in the model"),
        (change_manifest(format=2), "format 2"),
        (change_manifest(files={"../../x": {}}), "files in its manifest"),
        (lambda path: (path / "manifest.json").write_text("{"), "is not JSON"),
    ],
    ids=[
        "truncated",
        "other",
        "empty",
        "no graph",
        "no samples",
        "samples",
        "encoder",
        "schema",
        "format",
        "files",
        "json",
    ],
)
def test_a_broken_version_never_serves(tmp_path: Path, spoil: Callable[[Path], None], problem: str) -> None:
    """The last good version stays, the problem is reported, and it is not retried until the files change."""
    register(tmp_path, SCHEMA, 1)
    models = watched(tmp_path)
    models.open()
    broken = register(tmp_path, SCHEMA, 2, spoil=spoil)
    for _ in range(3):
        models.poll()
        (reported,) = models.problems
        assert re.search(problem, reported), reported
        assert ["tiny/1"] == serving(models)
    assert ["tiny/1", "tiny/2"] == loaded_versions(models)
    shutil.rmtree(broken)
    register(tmp_path, SCHEMA, 2)
    models.poll()
    assert (["tiny/2"], ()) == (serving(models), models.problems)


def test_a_half_written_version_is_not_loaded(tmp_path: Path) -> None:
    """A directory without a manifest is ignored, also under its final name."""
    register(tmp_path, SCHEMA, 1)
    models = watched(tmp_path)
    models.open()
    complete = register(tmp_path / "elsewhere", SCHEMA, 2)
    half = tmp_path / "tiny" / "2"
    half.mkdir()
    for name in ("model.onnx", "samples.npz", "manifest.json"):
        models.poll()
        assert (["tiny/1"], ()) == (serving(models), models.problems)
        shutil.copy(complete / name, half / name)
    models.poll()
    assert ["tiny/2"] == serving(models)


def test_a_manifest_that_arrives_before_its_files_is_retried(tmp_path: Path) -> None:
    """Files may be copied in any order."""
    register(tmp_path, SCHEMA, 1)
    models = watched(tmp_path)
    models.open()
    complete = register(tmp_path / "elsewhere", SCHEMA, 2)
    half = tmp_path / "tiny" / "2"
    half.mkdir()
    shutil.copy(complete / "manifest.json", half)
    models.poll()
    assert ["tiny/1"] == serving(models)
    (half / "model.onnx").write_bytes((complete / "model.onnx").read_bytes()[:100])
    models.poll()
    assert ["tiny/1"] == serving(models)
    shutil.copy(complete / "model.onnx", half)
    shutil.copy(complete / "samples.npz", half)
    models.poll()
    assert (["tiny/2"], ()) == (serving(models), models.problems)


def test_a_version_without_samples_serves(tmp_path: Path) -> None:
    """Samples are optional."""
    register(tmp_path, SCHEMA, 1, samples=False)
    models = watched(tmp_path)
    models.open()
    assert (["tiny/1"], ()) == (serving(models), models.problems)


@pytest.mark.parametrize(("spoil", "error"), [(NO_SCENARIOS, ModelMismatch), (truncate, ModelUnavailable)])
def test_a_server_does_not_start_with_a_broken_version(
    tmp_path: Path, spoil: Callable[[Path], None], error: type[CrossRecError]
) -> None:
    """There is no last good version to keep."""
    register(tmp_path, SCHEMA, 1, spoil=spoil)
    with pytest.raises(error):
        watched(tmp_path).open()
    with pytest.raises(ModelUnavailable, match="no version of tiny"):
        watched(tmp_path / "empty").open()


def test_the_serving_file_selects_the_version(tmp_path: Path) -> None:
    """It takes precedence over newer versions; without it the newest serves again."""
    for number in (1, 2, 3):
        register(tmp_path, SCHEMA, number)
    set_rollout(tmp_path, Rollout.of(Version("tiny", 2)))
    models = watched(tmp_path)
    models.open()
    assert ["tiny/2"] == serving(models)
    set_rollout(tmp_path, Rollout.of(Version("tiny", 1)))
    models.poll()
    assert ["tiny/1"] == serving(models)
    (tmp_path / "tiny" / "serving.json").unlink()
    models.poll()
    assert ["tiny/3"] == serving(models)


def test_a_pinned_version_is_served_despite_promotions(tmp_path: Path) -> None:
    """As long as it exists."""
    for number in (1, 2):
        register(tmp_path, SCHEMA, number)
    set_rollout(tmp_path, Rollout.of(Version("tiny", 2)))
    models = watched(tmp_path, pinned="1")
    models.open()
    models.poll()
    assert ["tiny/1"] == serving(models)
    with pytest.raises(ModelUnavailable, match="no version 9 of tiny"):
        watched(tmp_path, pinned="9").open()


def test_an_invalid_serving_file_keeps_the_deployment(tmp_path: Path) -> None:
    """The problem names the file and the field."""
    register(tmp_path, SCHEMA, 1)
    models = watched(tmp_path)
    models.open()
    plan = {"format": 1, "arms": [{"arm": "", "model": "tiny/1", "weight": 0.5}], "history": []}
    for text, problem in [("{", "not a serving file"), (json.dumps(plan), "arms: their weights sum to 0.5")]:
        (tmp_path / "tiny" / "serving.json").write_text(text)
        models.poll()
        (reported,) = models.problems
        assert str(tmp_path / "tiny" / "serving.json") in reported
        assert problem in reported
        assert ["tiny/1"] == serving(models)
    with pytest.raises(RolloutError):
        watched(tmp_path).open()


def test_an_experiment_begins_when_all_its_arms_are_ready(tmp_path: Path) -> None:
    """Until then the previous deployment serves; models of other names may take part; new weights load no model."""
    register(tmp_path, SCHEMA, 1)
    register(tmp_path, SCHEMA, 1, name="other", spoil=truncate)
    models = watched(tmp_path)
    models.open()
    arms = (Arm("control", Version("tiny", 1), 0.9), Arm("b", Version("other", 1), 0.1))
    set_rollout(tmp_path, Rollout(arms, "test"))
    models.poll()
    assert ["tiny/1"] == serving(models)
    assert {""} == {models.assign(f"user {n}").arm for n in range(100)}
    shutil.rmtree(tmp_path / "other" / "1")
    register(tmp_path, SCHEMA, 1, name="other")
    models.poll()
    assert ["tiny/1", "other/1"] == serving(models)
    chosen = [models.assign(f"user {n}") for n in range(200)]
    assert {("control", "tiny/1"), ("b", "other/1")} == {(served.arm, served.model.version) for served in chosen}
    loads = len(loaded_versions(models))
    set_rollout(
        tmp_path, Rollout((Arm("control", Version("tiny", 1), 0.5), Arm("b", Version("other", 1), 0.5)), "test")
    )
    models.poll()
    assert ([0.5, 0.5], loads) == ([arm.weight for arm in models.deployment.arms], len(loaded_versions(models)))


def test_a_broken_shadow_does_not_prevent_the_arms_from_serving(tmp_path: Path) -> None:
    """It is left out and reported."""
    register(tmp_path, SCHEMA, 1)
    register(tmp_path, SCHEMA, 2, spoil=truncate)
    set_rollout(tmp_path, Rollout((Arm("", Version("tiny", 1), 1.0),), shadow=Version("tiny", 2)))
    models = watched(tmp_path)
    models.open()
    assert (["tiny/1"], None) == (serving(models), models.deployment.shadow)
    assert "tiny/2" in models.problems[0]


def test_the_thread_takes_over_new_versions(tmp_path: Path) -> None:
    """It polls in the background."""
    register(tmp_path, SCHEMA, 1)
    models = watched(tmp_path)
    models.open()
    models.start()
    try:
        register(tmp_path, SCHEMA, 2)
        waiting = threading.Event()
        while serving(models) != ["tiny/2"]:
            waiting.wait(0.005)
    finally:
        models.stop()
