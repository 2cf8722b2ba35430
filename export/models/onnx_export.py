"""Export of trained models as ONNX graphs for serving, checked against the model itself on real rows.

Knows torch, ONNX and batches of rows; knows no kind of model, nor training or registries.
"""

import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray
from torch import nn
from torch.export import Dim

from export.models.base import INPUTS, OUTPUTS, Model
from export.onnx_check import check_difference, open_session
from export.rows.reader import Floats32, RowBatch, RowSource
from services.features.encode import Tensors
from services.registry.model import Scores
from services.registry.samples import Sample

SAMPLE_ITEMS = (1, 8, 32)
"""Candidates of each sample request that is registered with a model."""

RequestInputs = tuple[NDArray[np.int64], dict[str, Floats32]]
"""The indices of a request's rows in their batch, and the graph's inputs."""


def export_onnx(model: nn.Module, path: Path, *, batched: bool = False) -> None:
    """Write the graph of a torch model, with free numbers of items N and scenarios J.

    Args:
        model: a TorchModel, or with `batched` a module that takes `request` after INPUTS; has `widths` per tensor.
        path: of the file.
        batched: the graph scores several requests per run: their number is free, too.
    """
    names = (*INPUTS, "request") if batched else INPUTS
    widths: Mapping[str, int] = model.widths  # type: ignore[assignment]
    # Each free dimension has a size of its own, so that the exporter takes none for another.
    axes = {"items": 5, "scenarios": 3, **({"requests": 2} if batched else {})}
    free = {name: Dim(name, min=1, max=65_536 if name == "items" else 4096) for name in axes}
    shapes = {name: _shape(name, widths, batched=batched) for name in names}
    sizes = {name: [axis if isinstance(axis, int) else axes[axis] for axis in shapes[name]] for name in names}
    arguments = [torch.full(sizes[name], 0.1) for name in names]
    if batched:
        arguments[-1] = torch.arange(axes["items"]) % axes["requests"]
    # The exporter also logs that an unrelated package is missing, once per operator.
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


def _shape(name: str, widths: Mapping[str, int], *, batched: bool) -> list[str | int]:
    """The shape of an input; free axes by name."""
    users: list[str | int] = ["requests"] if batched else [1]
    axes: dict[str, list[str | int]] = {
        "scenario": [*(users if batched else []), "scenarios"],
        "cross": ["items", "scenarios"],
        **{item: ["items"] for item in ("item", "item_text", "request")},
    }
    return [*axes.get(name, [*users, "scenarios"]), *([widths[name]] if name in widths else [])]


def requests_of(batch: RowBatch) -> Iterator[RequestInputs]:
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
    check_difference(worst, "ONNX", "the model", f"{seen} real rows")
    return worst


def check_batched(single: Path, batched: Path, source: RowSource, batch_requests: int = 16) -> float:
    """Largest difference between the graph of several requests and that of one, over a batch of real rows.

    Args:
        single: graph that scores one request per run.
        batched: graph that scores several.
        source: the rows.
        batch_requests: requests per run.

    Raises ExportMismatch if it is above TOLERANCE.
    """
    requests = [inputs for _, inputs in requests_of(next(source.batches()))]
    one, several, worst = open_session(single), open_session(batched), 0.0
    for begin in range(0, len(requests), batch_requests):
        chosen = requests[begin : begin + batch_requests]
        preference, transfer, score, probability = several.run(OUTPUTS, _join_requests(chosen))
        bounds = np.cumsum([len(inputs["item"]) for inputs in chosen])[:-1]
        rows = zip(*(np.split(output, bounds) for output in (preference, score, probability)), transfer, strict=True)
        for inputs, (p, r, share, m) in zip(chosen, rows, strict=True):
            pairs = zip(one.run(OUTPUTS, inputs), (p, m, r, share), strict=True)
            worst = max(worst, *(float(np.abs(actual - expected).max()) for expected, actual in pairs))
    check_difference(worst, "ONNX of several requests", "ONNX of one", f"{len(requests)} real requests")
    return worst


def _join_requests(requests: Sequence[Mapping[str, Floats32]]) -> dict[str, NDArray[np.float32 | np.int64]]:
    counts = [len(inputs["item"]) for inputs in requests]
    joined = {name: np.concatenate([inputs[name] for inputs in requests]) for name in INPUTS if name != "scenario"}
    scenario = np.stack([inputs["scenario"] for inputs in requests])
    return {**joined, "scenario": scenario, "request": np.repeat(np.arange(len(requests)), counts)}


def score_onnx(session: onnxruntime.InferenceSession, batch: RowBatch, output: str = "score") -> NDArray[np.float64]:
    """Score R, or another output, of every row [R], request by request through ONNX Runtime, as the server does."""
    result = np.empty(len(batch))
    for members, inputs in requests_of(batch):
        result[members] = session.run([output], inputs)[0]
    return result


def sample_requests(path: Path, source: RowSource, seed: int = 0) -> list[Sample]:
    """Requests with what the graph computes for them, one per SAMPLE_ITEMS; the same for the same rows.

    They are stored with the model, so they describe no real user: each value is real, but is drawn from a row of its
    own, independently of all others.
    """
    session, random = open_session(path), np.random.default_rng(seed)
    batch = next(source.batches())
    samples = []
    for items in SAMPLE_ITEMS:
        made = {
            "scenario": _mix_rows(batch.scenario, 1, random)[0],
            "behavior": _mix_rows(batch.behavior, 1, random),
            "language": _mix_rows(batch.language, 1, random),
            "item": _mix_rows(batch.item, items, random),
            "item_text": _mix_rows(batch.item_text, items, random),
            "cross": _mix_rows(batch.cross, items, random),
        }
        target = random.dirichlet(np.ones(batch.behavior.shape[1]))
        outputs = session.run(OUTPUTS, {**made, "target": target.astype(np.float32)[None]})
        samples.append(Sample(Tensors(**made), target, Scores(*outputs)))
    return samples


def _mix_rows(values: Floats32, count: int, random: np.random.Generator) -> Floats32:
    """`count` rows of values [K, ...]; each number comes from a row that is drawn for it alone."""
    rows = random.integers(len(values), size=(count, *values.shape[1:]))
    mixed: Floats32 = np.take_along_axis(values, rows, axis=0)
    return mixed
