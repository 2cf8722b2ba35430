"""Whether a manifest fits this code: feature schema, tensors, text encoder, feature settings. Knows no files."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from services.features.encode import tensor_names
from services.features.recognition import recognition_names
from services.features.schema import Schema


def model_differences(manifest: Mapping[str, Any], schema: Schema, encoder: int) -> list[str]:
    """Differences between the features that the model was trained on and those of this code; empty if it fits."""
    differences = config_differences(manifest, schema)
    here = tensor_names(schema)
    for tensor in dict.fromkeys((*here, *manifest["tensors"])):
        names, trained = here.get(tensor, ()), manifest["tensors"].get(tensor, [])
        if only := [name for name in trained if name not in names]:
            differences.append(f"tensor {tensor}: only in the model: {', '.join(only)}")
        if only := [name for name in names if name not in trained]:
            differences.append(f"tensor {tensor}: only here: {', '.join(only)}")
        if sorted(trained) == sorted(names) and list(trained) != list(names):
            differences.append(f"tensor {tensor}: the same features in another order")
    if manifest["encoder_fingerprint"] != encoder:
        differences.append(f"text encoder {manifest['encoder_fingerprint']} in the model, {encoder} here")
    if not differences and manifest["schema_fingerprint"] != schema.fingerprint:
        differences.append(f"feature schema {manifest['schema_fingerprint']} in the model, {schema.fingerprint} here")
    return differences


def config_differences(manifest: Mapping[str, Any], schema: Schema) -> list[str]:
    """Feature settings that differ between the manifest and this code."""
    trained, current = manifest["features"], json.loads(json.dumps(asdict(schema.config)))
    fields = sorted(set(current) | set(trained))
    return [
        f"features.{field} is {trained.get(field)} in the model, {current.get(field)} here"
        for field in fields
        if trained.get(field) != current.get(field)
    ]


def recogniser_differences(manifest: Mapping[str, Any], schema: Schema) -> list[str]:
    """Differences between the features that the recogniser was trained on and those of this code; empty if it fits."""
    differences = config_differences(manifest, schema)
    expected, given = recognition_names(schema.config, manifest["sources"]), manifest["inputs"]
    if list(expected) != given:
        differing = sorted(set(expected) ^ set(given))
        text = f"{', '.join(differing)} on one side only" if differing else "the same in another order"
        differences.append(f"inputs: {text}")
    targets = set(manifest["sources"]) - set(manifest["source_only"])
    if not manifest["scenarios"] or not set(manifest["scenarios"]) <= targets:
        differences.append(
            f"scenarios {manifest['scenarios']} are not among the targets of its sources {sorted(targets)}"
        )
    if not differences and manifest["schema_fingerprint"] != schema.fingerprint:
        differences.append(
            f"feature schema {manifest['schema_fingerprint']} in the recogniser, {schema.fingerprint} here"
        )
    return differences
