"""The model registry: `<dir>/<name>/<version>/` with model.onnx, manifest.json and metrics.json.

Where a kind has a graph for several requests at once, it is many.onnx, and the manifest names it. A version appears
at once and complete: it is written beside and renamed. Knows files only.
"""

import json
import shutil
import tempfile
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

FORMAT = 1
MANY = "many.onnx"
_VERSIONED = ("crossrec", "torch", "scikit-learn", "skl2onnx", "onnx", "onnxruntime-gpu", "numpy", "feast")


def next_version(registry: Path, name: str) -> int:
    """One more than the newest version; 1 if there is none."""
    versions = [int(path.name) for path in (registry / name).glob("*") if path.name.isdigit()]
    return max(versions, default=0) + 1


def register(
    registry: Path,
    name: str,
    onnx: Path,
    manifest: dict[str, Any],
    metrics: dict[str, Any],
    many: Path | None = None,
) -> Path:
    """Add a model as the newest version; returns its directory.

    `manifest` says what the model is and needs (kind, fingerprints, tensors, features, data); name, version, time
    and package versions are added here. `many` is its graph for several requests at once, if the kind has one.
    """
    (registry / name).mkdir(parents=True, exist_ok=True)
    version = next_version(registry, name)
    staging = Path(tempfile.mkdtemp(prefix=".staging-", dir=registry / name))
    try:
        shutil.copyfile(onnx, staging / "model.onnx")
        if many:
            shutil.copyfile(many, staging / MANY)
            manifest = {**manifest, "many": MANY}
        complete = {
            "format": FORMAT,
            "name": name,
            "version": version,
            "created_at": datetime.now(UTC).isoformat(timespec="seconds"),
            "versions": {package: metadata.version(package) for package in _VERSIONED},
            **manifest,
            "metrics": metrics["test"]["all"] if "test" in metrics else {},
        }
        (staging / "manifest.json").write_text(json.dumps(complete, indent=2) + "\n")
        (staging / "metrics.json").write_text(json.dumps(metrics, indent=2) + "\n")
        staging.chmod(0o755)
        target = registry / name / str(version)
        staging.rename(target)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return target
