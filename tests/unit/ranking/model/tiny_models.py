"""A registry with tiny real models: P[n, j] = sigmoid(slope * first cross feature), and broken ones."""

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
from onnx import TensorProto, helper, save

from services.features.encode import Tensors, leading_shapes, tensor_names
from services.features.schema import Schema
from services.ranking.model.onnx_model import OnnxModel
from services.registry.reader import describe_file
from services.registry.samples import Sample, write_samples

ENCODER = 7
CPU = ("CPUExecutionProvider",)


def write_graph(path: Path, schema: Schema, slope: float = 1.0) -> None:
    """P = sigmoid(slope * first cross feature), M = target, R = P M, probability = R / sum M."""
    widths = {name: len(names) for name, names in tensor_names(schema).items()}
    shapes: dict[str, list[str | int]] = {
        "scenario": ["J", widths["scenario"]],
        "behavior": [1, "J", widths["behavior"]],
        "language": [1, "J", widths["language"]],
        "item": ["N", widths["item"]],
        "item_text": ["N", widths["item_text"]],
        "cross": ["N", "J", widths["cross"]],
        "target": [1, "J"],
    }
    results: dict[str, list[str | int]] = {
        "preference": ["N", "J"],
        "transfer": ["J"],
        "score": ["N"],
        "probability": ["N"],
    }
    nodes = [
        helper.make_node("Gather", ["cross", "first"], ["feature"], axis=2),
        helper.make_node("Mul", ["feature", "slope"], ["logit"]),
        helper.make_node("Sigmoid", ["logit"], ["preference"]),
        helper.make_node("Gather", ["target", "first"], ["transfer"], axis=0),
        helper.make_node("MatMul", ["preference", "transfer"], ["score"]),
        helper.make_node("ReduceSum", ["transfer"], ["total"], keepdims=0),
        helper.make_node("Div", ["score", "total"], ["probability"]),
    ]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes.items()],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in results.items()],
        [
            helper.make_tensor("first", TensorProto.INT64, [], [0]),
            helper.make_tensor("slope", TensorProto.FLOAT, [], [slope]),
        ],
    )
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), path)


def tensors_of(schema: Schema, items: int, scenarios: int, seed: int = 0) -> Tensors:
    """A made-up request."""
    random = np.random.default_rng(seed)
    shapes = leading_shapes(items, scenarios)
    widths = {name: len(names) for name, names in tensor_names(schema).items()}
    return Tensors(
        **{name: random.normal(size=(*shape, widths[name])).astype(np.float32) for name, shape in shapes.items()}
    )


def samples_of(model: OnnxModel, schema: Schema) -> list[Sample]:
    """The samples that export writes beside a model, for made-up requests."""
    target = np.array([0.25, 0.75])
    requests = [tensors_of(schema, items, 2, items) for items in (1, 4)]
    return [Sample(tensors, target, model.score(tensors, target)) for tensors in requests]


def register(
    registry: Path,
    schema: Schema,
    number: int,
    slope: float = 1.0,
    *,
    name: str = "tiny",
    samples: bool = True,
    spoil: Callable[[Path], None] = lambda _: None,
    **fields_of_manifest: Any,
) -> Path:
    """Register a version as export does, atomically; `spoil` breaks the files before they are visible."""
    staging = registry / name / f".staging-{number}"
    staging.mkdir(parents=True)
    write_graph(staging / "model.onnx", schema, slope)
    if samples:
        model = OnnxModel(staging / "model.onnx", "", CPU)
        write_samples(staging / "samples.npz", samples_of(model, schema))
    manifest = {
        "format": 1,
        "name": name,
        "version": number,
        "kind": "neural",
        "created_at": f"2026-07-{number:02d}T00:00:00+00:00",
        "schema_fingerprint": schema.fingerprint,
        "encoder_fingerprint": ENCODER,
        "tensors": tensor_names(schema),
        "features": asdict(schema.config),
        "sources": ["shelf", "tv"],
        "data": {"dataset": "made"},
        "metrics": {"auc": 0.7 + number / 1000},
        "files": {path.name: describe_file(path) for path in staging.iterdir()},
        **fields_of_manifest,
    }
    (staging / "metrics.json").write_text(json.dumps({"training": {"epochs": number}, "test": {}}))
    (staging / "manifest.json").write_text(json.dumps(manifest))
    spoil(staging)
    target = registry / name / str(number)
    staging.rename(target)
    return target


def truncate(directory: Path) -> None:
    """Truncate the graph and update the manifest: only ONNX Runtime can detect it."""
    path = directory / "model.onnx"
    path.write_bytes(path.read_bytes()[:-200])
    rehash(directory)


def rehash(directory: Path) -> None:
    """Update the manifest to describe the present files."""
    path = directory / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["files"] = {name: describe_file(directory / name) for name in manifest["files"]}
    path.write_text(json.dumps(manifest))


def disagree(directory: Path) -> None:
    """Make the samples expect other scores than the graph computes."""
    path = directory / "samples.npz"
    with np.load(path) as arrays:
        changed = {
            name: values + (0.01 if name.endswith("expected.probability") else 0) for name, values in arrays.items()
        }
    np.savez_compressed(path, **changed)
    rehash(directory)


def other_graph(directory: Path) -> None:
    """Change one byte of the graph without updating the manifest."""
    path = directory / "model.onnx"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(bytes(content))


def change_manifest(**changes: Any) -> Callable[[Path], None]:
    """Return a function that changes fields of the manifest."""

    def change(directory: Path) -> None:
        path = directory / "manifest.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))

    return change


def upload(directory: Path, url: str) -> None:
    """Copy a version's files into object storage, the manifest last."""
    files, root = fsspec.core.url_to_fs(url)
    target = f"{root}/{directory.parent.name}/{directory.name}"
    for path in sorted(directory.iterdir(), key=lambda path: path.name == "manifest.json"):
        files.pipe_file(f"{target}/{path.name}", path.read_bytes())
