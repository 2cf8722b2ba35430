"""A trained model as an ONNX graph for serving, checked against the model itself on real rows.

Knows torch, ONNX and batches of rows; knows nothing of training or registries.
"""

import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray
from torch.export import Dim

from export.models.base import INPUTS, OUTPUTS, Model, TorchModel
from export.models.boosted_trees import BoostedTrees
from export.models.preference_transfer import ManyRequests, PreferenceTransfer
from export.rows.reader import Floats32, RowBatch, RowSource
from services.errors import CrossRecError
from services.features.encode import Tensors
from services.registry.model import Scores
from services.registry.samples import Sample

TOLERANCE = 1e-5
SAMPLE_ITEMS = (1, 8, 32)
"""Candidates of the sample requests that lie beside a registered model."""

Request = tuple[NDArray[np.int64], dict[str, Floats32]]
"""The places of a request's rows in their batch, and the graph's inputs."""


class ExportMismatch(CrossRecError):
    """The ONNX graph does not compute what the trained model computes."""


def export_onnx(model: Model, path: Path) -> None:
    """Write model.onnx with free numbers of scenarios J and items N."""
    if isinstance(model, TorchModel):
        _export_torch(model, path)
    elif isinstance(model, BoostedTrees):
        model.export(path)
    else:
        raise TypeError(f"cannot export a {type(model).__name__}")


def export_many(model: Model, path: Path) -> bool:
    """Write the graph that serves several requests at once, INPUTS and `request`; False for kinds that have none."""
    if not isinstance(model, PreferenceTransfer):
        return False
    _export_torch(ManyRequests(model), path)
    return True


def _export_torch(model: TorchModel | ManyRequests, path: Path) -> None:
    many = isinstance(model, ManyRequests)
    names = (*INPUTS, "request") if many else INPUTS
    # With one value per free dimension that no other has, so that none is taken for another.
    axes = {"items": 5, "scenarios": 3, **({"requests": 2} if many else {})}
    free = {name: Dim(name, min=1, max=65_536 if name == "items" else 4096) for name in axes}
    shapes = {name: _shape(name, model.widths, many=many) for name in names}
    sizes = {name: [axis if isinstance(axis, int) else axes[axis] for axis in shapes[name]] for name in names}
    arguments = [torch.full(sizes[name], 0.1) for name in names]
    if many:
        arguments[-1] = torch.arange(axes["items"]) % axes["requests"]
    # It also logs that an unrelated package is missing, once per operator.
    logging.getLogger("torch.onnx._internal.exporter._registration").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        # The exporter warns of its own deprecations; nothing here can act on them.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            model.eval().cpu(),
            tuple(arguments),
            path,
            input_names=list(names),
            output_names=list(OUTPUTS),
            dynamic_shapes=[
                {place: free[axis] for place, axis in enumerate(shapes[name]) if isinstance(axis, str)}
                for name in names
            ],
            dynamo=True,
            external_data=False,
            verbose=False,
        )


def _shape(name: str, widths: Mapping[str, int], *, many: bool) -> list[str | int]:
    """The shape of an input; free axes by name."""
    users: list[str | int] = ["requests"] if many else [1]
    axes: dict[str, list[str | int]] = {
        "scenario": [*(users if many else []), "scenarios"],
        "cross": ["items", "scenarios"],
        **{item: ["items"] for item in ("item", "item_text", "request")},
    }
    return [*axes.get(name, [*users, "scenarios"]), *([widths[name]] if name in widths else [])]


def requests_of(batch: RowBatch) -> Iterator[Request]:
    """The requests in a batch: rows of one context and one target scenario, in order."""
    sources = batch.behavior.shape[1]
    code = batch.row_context * sources + batch.target
    order = np.argsort(code, kind="stable")
    for members in np.split(order, np.flatnonzero(np.diff(code[order])) + 1):
        context, target = batch.row_context[members[0]], batch.target[members[0]]
        inputs = {
            "scenario": batch.scenario[context],
            "behavior": batch.behavior[context][None],
            "language": batch.language[context][None],
            "item": batch.item[members],
            "item_text": batch.item_text[members],
            "cross": batch.cross[members],
            "target": np.eye(sources, dtype=np.float32)[target][None],
        }
        yield members, inputs


def open_session(path: Path) -> onnxruntime.InferenceSession:
    """An ONNX Runtime session on one CPU thread."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def check_onnx(model: Model, path: Path, source: RowSource, limit: int = 10_000) -> float:
    """Largest difference between the graph and the model over all outputs on up to `limit` rows.

    Raises ExportMismatch if it is above TOLERANCE.
    """
    session, worst, seen = open_session(path), 0.0, 0
    for batch in source.batches():
        for members, inputs in requests_of(batch):
            pairs = zip(session.run(OUTPUTS, inputs), model.outputs(inputs), strict=True)
            worst = max(worst, *(float(np.abs(actual - expected).max()) for actual, expected in pairs))
            seen += len(members)
        if seen >= limit:
            break
    if not worst <= TOLERANCE:
        raise ExportMismatch(f"ONNX differs from the model by {worst:.2g} on {seen} real rows, allowed: {TOLERANCE:g}")
    return worst


def check_many(one: Path, many: Path, source: RowSource, together: int = 16) -> float:
    """Largest difference between the graph of several requests and that of one, over a batch of real rows.

    Raises ExportMismatch if it is above TOLERANCE.
    """
    requests = [inputs for _, inputs in requests_of(next(source.batches()))]
    single, several, worst = open_session(one), open_session(many), 0.0
    for begin in range(0, len(requests), together):
        chosen = requests[begin : begin + together]
        preference, transfer, score, probability = several.run(OUTPUTS, _together(chosen))
        bounds = np.cumsum([len(inputs["item"]) for inputs in chosen])[:-1]
        rows = zip(*(np.split(output, bounds) for output in (preference, score, probability)), transfer, strict=True)
        for inputs, (p, r, share, m) in zip(chosen, rows, strict=True):
            pairs = zip(single.run(OUTPUTS, inputs), (p, m, r, share), strict=True)
            worst = max(worst, *(float(np.abs(actual - expected).max()) for expected, actual in pairs))
    if not worst <= TOLERANCE:
        raise ExportMismatch(f"ONNX of several requests differs from one by {worst:.2g}, allowed: {TOLERANCE:g}")
    return worst


def _together(requests: Sequence[Mapping[str, Floats32]]) -> dict[str, NDArray[np.float32 | np.int64]]:
    counts = [len(inputs["item"]) for inputs in requests]
    joined = {name: np.concatenate([inputs[name] for inputs in requests]) for name in INPUTS if name != "scenario"}
    scenario = np.stack([inputs["scenario"] for inputs in requests])
    return {**joined, "scenario": scenario, "request": np.repeat(np.arange(len(requests)), counts)}


def score_onnx(session: onnxruntime.InferenceSession, batch: RowBatch) -> NDArray[np.float64]:
    """Score R of every row [R], request by request through ONNX Runtime, as the server does."""
    result = np.empty(len(batch))
    for members, inputs in requests_of(batch):
        result[members] = session.run(["score"], inputs)[0]
    return result


def sample_requests(path: Path, source: RowSource, seed: int = 0) -> list[Sample]:
    """Requests with what the graph computes for them, one per SAMPLE_ITEMS; the same for the same rows.

    They travel with the model, so they are nobody's: every value is a real one, but each is drawn from a row of its
    own, independently of all others.
    """
    session, random = open_session(path), np.random.default_rng(seed)
    batch = next(source.batches())
    samples = []
    for items in SAMPLE_ITEMS:
        made = {
            "scenario": _mixed(batch.scenario, 1, random)[0],
            "behavior": _mixed(batch.behavior, 1, random),
            "language": _mixed(batch.language, 1, random),
            "item": _mixed(batch.item, items, random),
            "item_text": _mixed(batch.item_text, items, random),
            "cross": _mixed(batch.cross, items, random),
        }
        target = random.dirichlet(np.ones(batch.behavior.shape[1]))
        found = session.run(OUTPUTS, {**made, "target": target.astype(np.float32)[None]})
        samples.append(Sample(Tensors(**made), target, Scores(*found)))
    return samples


def _mixed(values: Floats32, count: int, random: np.random.Generator) -> Floats32:
    """`count` rows of values [K, ...], each number of them from a row that is drawn for it alone."""
    rows = random.integers(len(values), size=(count, *values.shape[1:]))
    mixed: Floats32 = np.take_along_axis(values, rows, axis=0)
    return mixed
