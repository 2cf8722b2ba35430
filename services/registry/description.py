"""A registered version, and the differences between two, as fields and lines of text."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from services.features.schema import Schema
from services.registry.compatibility import model_differences, recogniser_differences
from services.registry.reader import METRICS, Registry, Version, manifest_files

RECOGNISER = "recogniser"
FIELDS_OF_ALL = ("name", "version", "schema_fingerprint", "features", "files")
"""Manifest fields of every version, models and recognisers."""
REPORTED = ("auc", "gauc", "ndcg_at_10", "log_loss")
"""Metrics that the list of versions shows."""

SECTIONS = {
    "model": ("kind", "seed", "created_at", "sources", "schema_fingerprint", "encoder_fingerprint"),
    "feature settings": ("features",),
    "trained on": ("data",),
    "made with": ("versions",),
}
"""Manifest fields that are compared, by section."""

ComparedField = tuple[str, str, str]
"""A field and its value in either version; "" if it has none."""


@dataclass(frozen=True)
class ServerRequirements:
    """The requirements of a server that a version has to meet.

    Args:
        schema: the server's feature schema.
        encoder: fingerprint of the text encoder; None if it is not on this machine.
    """

    schema: Schema
    encoder: int | None

    def problems(self, manifest: Mapping[str, Any]) -> list[str]:
        """Why a version does not fit; empty if it does. An encoder that is not on this machine is assumed to fit."""
        if manifest.get("kind") == RECOGNISER:
            return recogniser_differences(manifest, self.schema)
        encoder = manifest["encoder_fingerprint"]
        return model_differences(manifest, self.schema, encoder if self.encoder is None else self.encoder)

    def fit(self, manifest: Mapping[str, Any], sizes: Mapping[str, int]) -> str:
        """Text: whether a version with files of these sizes fits, or why not."""
        if found := self.problems(manifest) + find_broken_files(manifest, sizes):
            return f"no: {'; '.join(found)}"
        unknown = self.encoder is None and manifest.get("kind") != RECOGNISER
        return "yes, if the server has its text encoder; none is on this machine" if unknown else "yes"


def find_broken_files(manifest: Mapping[str, Any], sizes: Mapping[str, int]) -> list[str]:
    """Files whose size differs from the registered size."""
    lengths = {name: (sizes.get(name), file["bytes"]) for name, file in manifest_files(manifest).items()}
    return [
        f"{name} is missing" if length is None else f"{name} has {length} bytes, registered with {registered}"
        for name, (length, registered) in lengths.items()
        if length is None or length != registered
    ]


def read_metrics(registry: Registry, version: Version) -> dict[str, Any]:
    """The content of metrics.json; empty if there is none."""
    content = registry.read(f"{version}/{METRICS}")
    metrics: dict[str, Any] = json.loads(content) if content else {}
    return metrics


def list_fields(manifest: Mapping[str, Any], metrics: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Field and value of the whole manifest, and of the training settings."""
    parts = {name: value for name, value in manifest.items() if name not in {"tensors", "files"}}
    parts["tensors"] = {name: f"{len(names)} features" for name, names in manifest.get("tensors", {}).items()}
    parts["files"] = manifest["files"]
    parts["training"] = metrics.get("training", {})
    for name, value in _flatten(parts):
        yield name, _format_value(value)


def compare_versions(
    manifests: tuple[Mapping[str, Any], Mapping[str, Any]], metrics: tuple[Mapping[str, Any], Mapping[str, Any]]
) -> dict[str, list[ComparedField]]:
    """Differences of two versions by section: all metrics of the test split, and other fields that differ."""
    figures = [
        dict(_flatten(m.get("test") or {"all": manifest.get("metrics", {})}))
        for manifest, m in zip(manifests, metrics, strict=True)
    ]
    sections = {"metrics": _pair_values(figures[0], figures[1])}
    for section, parts in SECTIONS.items():
        sections[section] = _differing(*({part: manifest.get(part) for part in parts} for manifest in manifests))
    sections["tensors"] = list(_tensors(*(manifest.get("tensors", {}) for manifest in manifests)))
    sections["training"] = _differing(*({"training": m.get("training", {})} for m in metrics))
    return {section: lines for section, lines in sections.items() if lines}


def _tensors(first: Mapping[str, list[str]], second: Mapping[str, list[str]]) -> Iterator[ComparedField]:
    for tensor in dict.fromkeys((*first, *second)):
        sides = first.get(tensor, []), second.get(tensor, [])
        only = [", ".join(name for name in side if name not in other) for side, other in (sides, sides[::-1])]
        if any(only):
            yield f"{tensor}: only in", only[0], only[1]
        elif sides[0] != sides[1]:
            yield tensor, "the same features", "in another order"


def _differing(first: Mapping[str, Any], second: Mapping[str, Any]) -> list[ComparedField]:
    return [line for line in _pair_values(dict(_flatten(first)), dict(_flatten(second))) if line[1] != line[2]]


def _pair_values(first: Mapping[str, Any], second: Mapping[str, Any]) -> list[ComparedField]:
    names = dict.fromkeys((*first, *second))
    return [(name, _format_value(first.get(name, "")), _format_value(second.get(name, ""))) for name in names]


def _flatten(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, dict):
            yield from _flatten(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _format_value(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.6g}"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
