"""The registry as the server reads it: where versions lie, what their manifests say, and whether they fit this server.

Knows files and the feature schema; knows nothing of graphs or requests.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from services.features.encode import tensor_names
from services.features.schema import Schema
from services.runtime.errors import CrossRecError

MANIFEST_FIELDS = ("name", "version", "schema_fingerprint", "encoder_fingerprint", "tensors", "features")
FORMAT = 1
"""Of the manifests that this code reads."""


class ModelMismatch(CrossRecError):
    """The model was trained on other features, or another encoder, than this server has."""


class ModelUnavailable(CrossRecError):
    """The registry holds no such model, or the machine lacks what it needs."""


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
