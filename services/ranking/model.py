"""The model that is served: opened from the registry, checked against the running code, run by ONNX Runtime.

Knows the registry's files and the graph's inputs; knows nothing of requests. Never imports torch.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import onnxruntime

from services.features.encode import Tensors, tensor_names
from services.features.schema import Schema
from services.runtime.errors import CrossRecError

INPUTS = ("scenario", "behavior", "language", "item", "item_text", "cross")
OUTPUTS = ("preference", "transfer", "score", "probability")
MANIFEST_FIELDS = ("name", "version", "schema_fingerprint", "encoder_fingerprint", "tensors", "features")
FORMAT = 1
"""Of the manifests that this code reads."""


class ModelMismatch(CrossRecError):
    """The model was trained on other features, or another encoder, than this server has."""


class ModelUnavailable(CrossRecError):
    """The registry holds no such model, or the machine lacks what it needs."""


@dataclass(frozen=True)
class Scores:
    """What the model says: P [N, J], M [J], R [N] and R / sum M [N]."""

    preference: np.ndarray
    transfer: np.ndarray
    score: np.ndarray
    probability: np.ndarray


class Model(Protocol):
    """Scores one request."""

    version: str

    def score(self, tensors: Tensors, target: np.ndarray) -> Scores:
        """Scores of the candidates; target [J] is the posterior over target scenarios."""
        ...


class FakeModel:
    """A model for tests: preference rises with the first item feature, weights follow the target."""

    version = "fake/1"

    def score(self, tensors: Tensors, target: np.ndarray) -> Scores:
        """P[n, j] = sigmoid of item feature 0; M[j] = (1 + target[j]) / 2."""
        preference = 1 / (1 + np.exp(-tensors.item[:, :1])) * np.ones_like(tensors.cross[:, :, 0])
        transfer = (1 + target) / 2
        score = preference @ transfer
        return Scores(preference, transfer, score, score / transfer.sum())


class OnnxModel:
    """A registered version on ONNX Runtime.

    Args:
        directory: `<registry>/<name>/<version>`.
        manifest: its manifest, checked.
        providers: execution providers, best first; all must be obtained.
    """

    def __init__(self, directory: Path, manifest: Mapping[str, Any], providers: Sequence[str]) -> None:
        options = onnxruntime.SessionOptions()
        # One thread beats two for graphs of this size, and leaves the other core to other requests.
        options.intra_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(directory / "model.onnx", options, providers=list(providers))
        obtained = self._session.get_providers()
        if missing := [provider for provider in providers if provider not in obtained]:
            raise ModelUnavailable(
                f"ranking.providers: asked for {', '.join(missing)}, ONNX Runtime obtained only {', '.join(obtained)}"
            )
        self.version = f"{manifest['name']}/{manifest['version']}"

    def score(self, tensors: Tensors, target: np.ndarray) -> Scores:
        """One run of the graph."""
        inputs = {name: getattr(tensors, name) for name in INPUTS}
        return Scores(*self._session.run(OUTPUTS, {**inputs, "target": target.astype(np.float32)[None]}))


def open_model(
    registry: Path, name: str, version: str, schema: Schema, encoder: int, providers: Sequence[str]
) -> OnnxModel:
    """The newest version of a model, or the given one. Raises ModelUnavailable, ModelMismatch."""
    directory = version_directory(registry, name, version)
    manifest = read_manifest(directory)
    if found := differences(manifest, schema, encoder):
        raise ModelMismatch(f"model {directory} does not fit this server: {'; '.join(found)}")
    return OnnxModel(directory, manifest, providers)


def versions_of(registry: Path, name: str) -> list[int]:
    """The registered versions of a model, newest first."""
    return sorted((int(path.name) for path in (registry / name).glob("*") if path.name.isdigit()), reverse=True)


def version_directory(
    registry: Path, name: str, version: str, setting: str = "ranking.model", command: str = "crossrec train"
) -> Path:
    """Where a version of a model, "" for the newest, lies.

    Raises ModelUnavailable naming the `setting` that asks for it and the `command` that makes it.
    """
    versions = versions_of(registry, name)
    wanted = version or (str(versions[0]) if versions else "")
    if not wanted or not (registry / name / wanted / "manifest.json").exists():
        known = sorted({path.parent.parent.name for path in registry.glob("*/[0-9]*/manifest.json")})
        raise ModelUnavailable(
            f"{setting}: no version {version or 'at all'} of {name} in {registry}; "
            f"models there: {', '.join(known) or 'none'}; `{command}` makes one"
        )
    return registry / name / wanted


def read_manifest(directory: Path, fields: Sequence[str] = MANIFEST_FIELDS) -> dict[str, Any]:
    """The manifest of a version, if it is one that this code understands and has the `fields`."""
    try:
        manifest = json.loads((directory / "manifest.json").read_text())
    except ValueError as error:
        raise ModelUnavailable(f"model {directory}: manifest.json is not JSON: {error}") from error
    written = manifest.get("format") if isinstance(manifest, dict) else None
    if written != FORMAT:
        raise ModelMismatch(f"model {directory}: its manifest has format {written}, this server reads {FORMAT}")
    if missing := [field for field in fields if field not in manifest]:
        raise ModelMismatch(f"model {directory}: its manifest lacks {', '.join(missing)}")
    result: dict[str, Any] = manifest
    return result


def differences(manifest: Mapping[str, Any], schema: Schema, encoder: int) -> list[str]:
    """What differs between what the model was trained on and what this code has; empty if nothing."""
    found = config_differences(manifest, schema)
    here = tensor_names(schema)
    for tensor in dict.fromkeys((*here, *manifest["tensors"])):
        names, trained = here.get(tensor, ()), manifest["tensors"].get(tensor, [])
        if only := [name for name in trained if name not in names]:
            found.append(f"tensor {tensor}: only in the model: {', '.join(only)}")
        if only := [name for name in names if name not in trained]:
            found.append(f"tensor {tensor}: only here: {', '.join(only)}")
        if sorted(trained) == sorted(names) and list(trained) != list(names):
            found.append(f"tensor {tensor}: the same features in another order")
    if manifest["encoder_fingerprint"] != encoder:
        found.append(f"text encoder {manifest['encoder_fingerprint']} in the model, {encoder} here")
    if not found and manifest["schema_fingerprint"] != schema.fingerprint:
        found.append(f"feature schema {manifest['schema_fingerprint']} in the model, {schema.fingerprint} here")
    return found


def config_differences(manifest: Mapping[str, Any], schema: Schema) -> list[str]:
    """Choices behind the features that differ between the manifest and this code."""
    theirs, ours = manifest["features"], json.loads(json.dumps(asdict(schema.config)))
    fields = sorted(set(ours) | set(theirs))
    return [
        f"features.{field} is {theirs.get(field)} in the model, {ours.get(field)} here"
        for field in fields
        if theirs.get(field) != ours.get(field)
    ]
