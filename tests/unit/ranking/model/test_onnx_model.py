"""Models from the registry: loading, rejection with reasons, and the scores of ONNX Runtime."""

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from services.errors import CrossRecError
from services.features.config import DAY_S, FeatureConfig
from services.features.encode import tensor_names
from services.features.schema import Schema, build_schema
from services.ranking.model.batching import BatchingModel
from services.ranking.model.execution import ExecutionConfig
from services.ranking.model.loader import ModelLoader
from services.ranking.model.onnx_model import OnnxModel
from services.registry.compatibility import model_differences
from services.registry.model import FakeModel, ScoringModel
from services.registry.reader import ModelMismatch, ModelUnavailable, Registry, describe_file, find_version
from tests.unit.ranking.model.graphs import write_batched
from tests.unit.ranking.model.tiny_models import tensors_of, write_graph

SCHEMA = build_schema(FeatureConfig(text_dims=3))
ENCODER = 7
CPU = ("CPUExecutionProvider",)
AS_USUAL = ExecutionConfig()


def open_model(
    registry: Path,
    name: str,
    version: str,
    schema: Schema,
    encoder: int,
    providers: tuple[str, ...],
    execution: ExecutionConfig = AS_USUAL,
) -> ScoringModel:
    """The newest version of a model, or the given one, as a server opens it."""
    opened = Registry(registry)
    return ModelLoader(opened, schema, encoder, providers, execution)(find_version(opened, name, version))


def manifest_of(schema: Schema = SCHEMA, **fields: Any) -> dict[str, Any]:
    """The manifest of a model trained on this schema, as parsed from JSON."""
    manifest = {
        "format": 1,
        "name": "tiny",
        "version": 1,
        "schema_fingerprint": schema.fingerprint,
        "encoder_fingerprint": ENCODER,
        "tensors": tensor_names(schema),
        "features": asdict(schema.config),
        "files": {},
        **fields,
    }
    result: dict[str, Any] = json.loads(json.dumps(manifest))
    return result


def register(registry: Path, version: int = 1, name: str = "tiny", **fields: Any) -> Path:
    """Put a version of the tiny model into a registry."""
    directory = registry / name / str(version)
    directory.mkdir(parents=True)
    write_graph(directory / "model.onnx", SCHEMA)
    files = {"model.onnx": describe_file(directory / "model.onnx")}
    manifest = manifest_of(**{"name": name, "version": version, "files": files, **fields})
    (directory / "manifest.json").write_text(json.dumps(manifest))
    return directory


@pytest.mark.parametrize(("items", "scenarios"), [(1, 1), (5, 3), (200, 2)])
def test_the_graph_is_run_on_the_tensors_of_a_request(tmp_path: Path, items: int, scenarios: int) -> None:
    """Any number of items and scenarios; the posterior is the target input."""
    register(tmp_path)
    tensors, target = tensors_of(SCHEMA, items, scenarios), np.linspace(0.2, 0.8, scenarios)
    found = open_model(tmp_path, "tiny", "", SCHEMA, ENCODER, CPU).score(tensors, target)
    preference = 1 / (1 + np.exp(-tensors.cross[:, :, 0]))
    np.testing.assert_allclose(found.preference, preference, rtol=1e-5)
    np.testing.assert_allclose(found.transfer, target, rtol=1e-6)
    np.testing.assert_allclose(found.score, preference @ target, rtol=1e-5)
    np.testing.assert_allclose(found.probability, preference @ target / target.sum(), rtol=1e-5)


def test_the_newest_version_is_opened_unless_one_is_named(tmp_path: Path) -> None:
    """Versions are numbers: 10 is newer than 9. A version that is being written is ignored."""
    for version in (1, 9, 10):
        register(tmp_path, version)
    (tmp_path / "tiny" / ".staging-x").mkdir()
    assert open_model(tmp_path, "tiny", "", SCHEMA, ENCODER, CPU).version == "tiny/10"
    assert open_model(tmp_path, "tiny", "9", SCHEMA, ENCODER, CPU).version == "tiny/9"


@pytest.mark.parametrize(
    ("name", "version", "expected"),
    [
        ("other", "", "no version of other"),
        ("tiny", "3", "no version 3 of tiny"),
        ("tiny", "newest", "no version newest of tiny"),
    ],
)
def test_a_missing_model_is_named_with_the_existing_ones(
    tmp_path: Path, name: str, version: str, expected: str
) -> None:
    """The error also names the command that trains one."""
    register(tmp_path)
    with pytest.raises(ModelUnavailable, match=expected) as caught:
        open_model(tmp_path, name, version, SCHEMA, ENCODER, CPU)
    assert "models there: tiny; `crossrec train`" in str(caught.value)


def test_models_whose_first_versions_were_deleted_are_named(tmp_path: Path) -> None:
    """Each name once, for any versions; a version that is being written is ignored."""
    for version in (7, 12):
        register(tmp_path, version)
    (tmp_path / "tiny" / ".staging-x").mkdir()
    with pytest.raises(ModelUnavailable, match="models there: tiny;"):
        open_model(tmp_path, "other", "", SCHEMA, ENCODER, CPU)


@pytest.mark.parametrize("written", [None, 2, "1"])
def test_a_manifest_of_another_format_is_rejected(tmp_path: Path, written: object) -> None:
    """The error names both formats; no other field is read before."""
    register(tmp_path, format=written)
    with pytest.raises(ModelMismatch, match=f"its manifest has format {written}, this server reads 1"):
        open_model(tmp_path, "tiny", "", SCHEMA, ENCODER, CPU)


def test_a_manifest_that_lacks_fields_is_rejected_with_their_names(tmp_path: Path) -> None:
    """Not with a KeyError."""
    path = register(tmp_path) / "manifest.json"
    manifest = json.loads(path.read_text())
    del manifest["tensors"], manifest["encoder_fingerprint"]
    path.write_text(json.dumps(manifest))
    with pytest.raises(ModelMismatch, match="its manifest lacks encoder_fingerprint, tensors"):
        open_model(tmp_path, "tiny", "", SCHEMA, ENCODER, CPU)


@pytest.mark.parametrize(("text", "expected"), [("{", "is not JSON"), ("[]", "has format None")])
def test_an_invalid_manifest_is_rejected(tmp_path: Path, text: str, expected: str) -> None:
    """Truncated, or another kind of file."""
    (register(tmp_path) / "manifest.json").write_text(text)
    with pytest.raises(CrossRecError, match=expected):
        open_model(tmp_path, "tiny", "", SCHEMA, ENCODER, CPU)


def test_a_missing_registry_holds_no_models(tmp_path: Path) -> None:
    """Before the first training."""
    with pytest.raises(ModelUnavailable, match="models there: none"):
        open_model(tmp_path / "registry", "tiny", "", SCHEMA, ENCODER, CPU)


def test_an_incompatible_model_is_rejected_with_all_differences(tmp_path: Path) -> None:
    """Before its graph is loaded."""
    directory = register(tmp_path, schema=build_schema(FeatureConfig(text_dims=2)), encoder_fingerprint=8)
    (directory / "model.onnx").unlink()
    with pytest.raises(ModelMismatch) as caught:
        open_model(tmp_path, "tiny", "", SCHEMA, ENCODER, CPU)
    for part in (str(directory), "features.text_dims is 2 in the model, 3 here", "text encoder 8 in the model, 7 here"):
        assert part in str(caught.value)


def test_a_model_trained_on_the_same_features_is_compatible() -> None:
    """Also after serialisation as JSON, which turns tuples into lists."""
    assert model_differences(manifest_of(), SCHEMA, ENCODER) == []


def test_a_changed_setting_is_named() -> None:
    """With both values, also if no tensor changes."""
    config = replace(SCHEMA.config, user_items=99)
    assert model_differences(manifest_of(build_schema(config)), SCHEMA, ENCODER) == [
        "features.user_items is 99 in the model, 512 here"
    ]


def test_a_setting_of_one_side_is_named() -> None:
    """The model is older or newer than the code."""
    features = {**asdict(SCHEMA.config), "zoom": 2}
    del features["event_ids"]
    assert model_differences(manifest_of(features=features), SCHEMA, ENCODER) == [
        "features.event_ids is None in the model, 64 here",
        "features.zoom is 2 in the model, None here",
    ]


def test_tensor_features_of_one_side_are_named() -> None:
    """Features that only the model has, and features that only the code has."""
    changed = build_schema(replace(SCHEMA.config, half_lives_s=(60.0, DAY_S, 30 * DAY_S)))
    found = model_differences(
        manifest_of(features=asdict(SCHEMA.config), tensors=tensor_names(changed)), SCHEMA, ENCODER
    )
    (only_there,) = [line for line in found if line.startswith("tensor cross: only in the model")]
    (only_here,) = [line for line in found if line.startswith("tensor cross: only here")]
    assert "item_scenario_engagement_60s" in only_there
    assert "item_scenario_engagement_3600s" in only_here
    assert "86400s" not in only_there + only_here


def test_a_tensor_that_the_model_lacks_is_named() -> None:
    """All of its features exist only in the code."""
    tensors = {name: names for name, names in tensor_names(SCHEMA).items() if name != "language"}
    assert model_differences(manifest_of(tensors=tensors), SCHEMA, ENCODER) == [
        "tensor language: only here: text_0, text_1, text_2"
    ]


def test_a_tensor_that_only_the_model_has_is_named() -> None:
    """The graph needs an input that the code does not compute."""
    tensors = {**tensor_names(SCHEMA), "weather": ("rain", "sun")}
    assert model_differences(manifest_of(tensors=tensors), SCHEMA, ENCODER) == [
        "tensor weather: only in the model: rain, sun"
    ]


def test_the_same_features_in_another_order_are_incompatible() -> None:
    """Values would be read as those of other features."""
    tensors = dict(tensor_names(SCHEMA))
    tensors["item"] = tensors["item"][::-1]
    assert model_differences(manifest_of(tensors=tensors), SCHEMA, ENCODER) == [
        "tensor item: the same features in another order"
    ]


def test_another_text_encoder_is_named() -> None:
    """Vectors of two encoders cannot be compared."""
    assert model_differences(manifest_of(), SCHEMA, 8) == ["text encoder 7 in the model, 8 here"]


def test_different_fingerprints_are_incompatible() -> None:
    """The meaning of a stored feature may change under the same name."""
    found = model_differences(manifest_of(schema_fingerprint=1), SCHEMA, ENCODER)
    assert found == [f"feature schema 1 in the model, {SCHEMA.fingerprint} here"]


@pytest.mark.filterwarnings("ignore:Specified provider:UserWarning")
@pytest.mark.parametrize("provider", ["CUDAExecutionProvider", "NoSuchExecutionProvider"])
def test_an_unavailable_provider_is_rejected(tmp_path: Path, provider: str) -> None:
    """ONNX Runtime would fall back to the processor without an error."""
    if provider == "CUDAExecutionProvider" and Path("/dev/nvidia0").exists():
        pytest.skip("this machine has an NVIDIA device: CUDA may be obtained")
    directory = register(tmp_path)
    with pytest.raises(ModelUnavailable, match=f"ranking.providers: asked for {provider}, .* only CPU"):
        OnnxModel(directory / "model.onnx", "tiny/1", (provider, *CPU))


def test_requests_are_batched_if_configured_and_supported_by_the_model(tmp_path: Path) -> None:
    """The batched graph is stored beside the other one."""
    write_batched(register(tmp_path) / "batched.onnx")
    assert isinstance(open_model(tmp_path, "tiny", "", SCHEMA, ENCODER, CPU), OnnxModel)
    batched = open_model(tmp_path, "tiny", "", SCHEMA, ENCODER, CPU, ExecutionConfig(batch_wait_ms=1))
    assert isinstance(batched, BatchingModel)
    assert batched.version == "tiny/1"


def test_a_model_without_a_batched_graph_is_served_unbatched(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """This is logged."""
    register(tmp_path)
    with caplog.at_level("INFO"):
        found = open_model(tmp_path, "tiny", "", SCHEMA, ENCODER, CPU, ExecutionConfig(batch_wait_ms=1))
    assert isinstance(found, OnnxModel)
    assert "model_unbatched" in [record.getMessage() for record in caplog.records]


def test_the_fake_model_satisfies_the_equations() -> None:
    """R = P M and probability = R / sum M, weights between 0.5 and 1, and the target has the largest weight."""
    target = np.array([0.0, 1.0])
    found = FakeModel().score(tensors_of(SCHEMA, 4, 2), target)
    assert found.transfer.tolist() == [0.5, 1.0]
    assert found.preference.shape == (4, 2)
    np.testing.assert_allclose(found.score, found.preference @ found.transfer)
    np.testing.assert_allclose(found.probability, found.score / 1.5)
