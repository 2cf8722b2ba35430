"""Writes versions into the model registry.

A version is `<dir>/<name>/<version>/` with model.onnx, manifest.json, metrics.json, samples.npz and, where rows hold
learned item vectors, vectors.npz. If a kind of model has a graph for batches of requests, it is batched.onnx. In a
directory a version appears atomically: it is written to a temporary directory and renamed. In object storage its
manifest is written last, and a directory without a manifest is not a version. Knows files only.
"""

import json
import shutil
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import fsspec
from fsspec.implementations.local import LocalFileSystem

from services.registry.reader import BATCHED, FORMAT, MANIFEST, METRICS, MODEL, Registry, describe_file
from services.registry.rollout import SERVING, Rollout, ServingState, serialize_serving
from services.registry.samples import SAMPLES, Sample, write_samples
from services.registry.vectors_file import VECTORS

_VERSIONED = ("crossrec", "torch", "scikit-learn", "skl2onnx", "onnx", "onnxruntime-gpu", "numpy", "feast")


def register(
    registry: str | Path,
    name: str,
    onnx: Path,
    manifest: dict[str, Any],
    metrics: dict[str, Any],
    samples: Sequence[Sample] = (),
    batched: Path | None = None,
    vectors: Path | None = None,
) -> str:
    """Add a model as the newest version of a registry (directory or URL); returns its location.

    A first version serves at once, a later one only when it is promoted. `manifest` describes the model and its
    requirements (kind, fingerprints, tensors, features, data); name, version, time, package versions, and size and
    SHA-256 of the files that serving reads are added here. A server scores `samples` before the version serves.
    `batched` is the graph for batches of requests, if the kind has one; `vectors` are the item vectors that its rows
    hold. Two processes that register the same name in object storage at the same time may take the same number; in a
    directory one of them fails.
    """
    files, root = fsspec.core.url_to_fs(str(registry))
    parent = f"{str(root).rstrip('/')}/{name}"
    with tempfile.TemporaryDirectory() as folder:
        staged = Path(folder)
        shutil.copyfile(onnx, staged / MODEL)
        if batched:
            shutil.copyfile(batched, staged / BATCHED)
        if vectors:
            shutil.copyfile(vectors, staged / VECTORS)
        if samples:
            write_samples(staged / SAMPLES, samples)
        version = _next_version(files, parent)
        complete = {
            "format": FORMAT,
            "name": name,
            "version": version,
            "created_at": datetime.now(UTC).isoformat(timespec="seconds"),
            "versions": {package: metadata.version(package) for package in _VERSIONED},
            **manifest,
            "metrics": metrics["test"]["all"] if "test" in metrics else {},
            "files": {path.name: describe_file(path) for path in sorted(staged.iterdir())},
        }
        (staged / MANIFEST).write_text(json.dumps(complete, indent=2) + "\n")
        (staged / METRICS).write_text(json.dumps(metrics, indent=2) + "\n")
        _keep_serving(Registry(registry), name)
        if isinstance(files, LocalFileSystem):
            _rename(staged, Path(parent) / str(version))
        else:
            _upload(files, staged, f"{parent}/{version}")
    return f"{str(registry).rstrip('/')}/{name}/{version}"


def _keep_serving(registry: Registry, name: str) -> None:
    """Record the version that serves without a serving file, the newest so far, before there is a newer one."""
    if registry.read(f"{name}/{SERVING}") is None and (newest := registry.newest(name)):
        registry.write(f"{name}/{SERVING}", serialize_serving(ServingState(Rollout.of(newest))))


def _next_version(files: fsspec.AbstractFileSystem, parent: str) -> int:
    files.invalidate_cache()
    found = files.ls(parent, detail=False) if files.exists(parent) else []
    names = (str(path).rstrip("/").rsplit("/", 1)[-1] for path in found)
    return max((int(name) for name in names if name.isdigit()), default=0) + 1


def _rename(staged: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(prefix=".staging-", dir=target.parent))
    try:
        shutil.copytree(staged, staging, dirs_exist_ok=True)
        staging.chmod(0o755)
        staging.rename(target)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _upload(files: fsspec.AbstractFileSystem, staged: Path, target: str) -> None:
    for path in sorted(staged.iterdir(), key=lambda path: path.name == MANIFEST):
        files.pipe_file(f"{target}/{path.name}", path.read_bytes())
