"""What a registered version is, and how two differ, as lines of text."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from services.features.schema import Schema
from services.registry.compatibility import differences, recogniser_differences
from services.registry.reader import METRICS, Registry, Version, files_of

RECOGNISER = "recogniser"
FIELDS_OF_ALL = ("name", "version", "schema_fingerprint", "features")
"""That every version has, models and recognisers."""
REPORTED = ("auc", "gauc", "ndcg_at_10", "log_loss")
"""Metrics that a list shows."""

SECTIONS = {
    "model": ("kind", "seed", "created_at", "sources", "schema_fingerprint", "encoder_fingerprint"),
    "feature choices": ("features",),
    "trained on": ("data",),
    "made with": ("versions",),
}
"""Parts of a manifest that are compared, by the heading they come under."""

Line = tuple[str, str, str]
"""A field and its value on either side; "" where it has none."""


@dataclass(frozen=True)
class Server:
    """What a version has to fit.

    Args:
        schema: feature schema of the settings.
        encoder: fingerprint of the text encoder; None if it is not on this machine.
    """

    schema: Schema
    encoder: int | None

    def problems(self, manifest: Mapping[str, Any]) -> list[str]:
        """Why a version does not fit; empty if it does. An encoder that is not here is taken for the right one."""
        if manifest.get("kind") == RECOGNISER:
            return recogniser_differences(manifest, self.schema)
        theirs = manifest["encoder_fingerprint"]
        return differences(manifest, self.schema, theirs if self.encoder is None else self.encoder)

    def fit(self, manifest: Mapping[str, Any], sizes: Mapping[str, int]) -> str:
        """In words, whether a version with files of these sizes fits, or why not."""
        if found := self.problems(manifest) + broken_files(manifest, sizes):
            return f"no: {'; '.join(found)}"
        unknown = self.encoder is None and manifest.get("kind") != RECOGNISER
        return "yes, if its text encoder is the one; none is here" if unknown else "yes"


def broken_files(manifest: Mapping[str, Any], sizes: Mapping[str, int]) -> list[str]:
    """Files that are not as long as they were registered."""
    lengths = {name: (sizes.get(name), file.get("bytes", sizes.get(name))) for name, file in files_of(manifest).items()}
    return [
        f"{name} is missing" if length is None else f"{name} has {length} bytes, registered were {registered}"
        for name, (length, registered) in lengths.items()
        if length is None or length != registered
    ]


def metrics_of(registry: Registry, version: Version) -> dict[str, Any]:
    """What its metrics.json holds; empty if there is none."""
    content = registry.read(f"{version}/{METRICS}")
    metrics: dict[str, Any] = json.loads(content) if content else {}
    return metrics


def shown(manifest: Mapping[str, Any], metrics: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Field and value of everything that a manifest says, and how the version was trained."""
    parts = {name: value for name, value in manifest.items() if name not in {"tensors", "files"}}
    parts["tensors"] = {name: f"{len(names)} features" for name, names in manifest.get("tensors", {}).items()}
    parts["files"] = manifest.get("files", "not described: registered before files were")
    parts["training"] = metrics.get("training", {})
    for name, value in _flat(parts):
        yield name, _text(value)


def compared(
    manifests: tuple[Mapping[str, Any], Mapping[str, Any]], metrics: tuple[Mapping[str, Any], Mapping[str, Any]]
) -> dict[str, list[Line]]:
    """Section and lines of how two versions differ: all metrics of the test split, and elsewhere what differs."""
    figures = [
        dict(_flat(m.get("test") or {"all": manifest.get("metrics", {})}))
        for manifest, m in zip(manifests, metrics, strict=True)
    ]
    sections = {"metrics": _lines(figures[0], figures[1])}
    for section, parts in SECTIONS.items():
        sections[section] = _differing(*({part: manifest.get(part) for part in parts} for manifest in manifests))
    sections["tensors"] = list(_tensors(*(manifest.get("tensors", {}) for manifest in manifests)))
    sections["training"] = _differing(*({"training": m.get("training", {})} for m in metrics))
    return {section: lines for section, lines in sections.items() if lines}


def _tensors(first: Mapping[str, list[str]], second: Mapping[str, list[str]]) -> Iterator[Line]:
    for tensor in dict.fromkeys((*first, *second)):
        sides = first.get(tensor, []), second.get(tensor, [])
        only = [", ".join(name for name in side if name not in other) for side, other in (sides, sides[::-1])]
        if any(only):
            yield f"{tensor}: only there", only[0], only[1]
        elif sides[0] != sides[1]:
            yield tensor, "the same features", "in another order"


def _differing(first: Mapping[str, Any], second: Mapping[str, Any]) -> list[Line]:
    return [line for line in _lines(dict(_flat(first)), dict(_flat(second))) if line[1] != line[2]]


def _lines(first: Mapping[str, Any], second: Mapping[str, Any]) -> list[Line]:
    names = dict.fromkeys((*first, *second))
    return [(name, _text(first.get(name, "")), _text(second.get(name, ""))) for name in names]


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _text(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
