"""A trained model as an ONNX graph for serving, checked against the model itself on real rows.

Knows torch, ONNX and batches of rows; knows nothing of training or registries.
"""

import logging
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray
from torch.export import Dim

from export.models.base import INPUTS, OUTPUTS, Model, TorchModel
from export.models.boosted_trees import BoostedTrees
from export.training.source import Floats32, RowBatch, RowSource
from services.features.encode import Tensors
from services.ranking.model import Scores
from services.ranking.serving.samples import Sample
from services.runtime.errors import CrossRecError

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


def _export_torch(model: TorchModel, path: Path) -> None:
    scenarios, items, widths = 3, 5, model.widths
    sources, candidates = Dim("scenarios", min=1, max=4096), Dim("items", min=1, max=65_536)
    shapes = {
        "scenario": (scenarios, widths["scenario"]),
        "behavior": (1, scenarios, widths["behavior"]),
        "language": (1, scenarios, widths["language"]),
        "item": (items, widths["item"]),
        "item_text": (items, widths["item_text"]),
        "cross": (items, scenarios, widths["cross"]),
        "target": (1, scenarios),
    }
    free = {
        "scenario": {0: sources},
        "behavior": {1: sources},
        "language": {1: sources},
        "item": {0: candidates},
        "item_text": {0: candidates},
        "cross": {0: candidates, 1: sources},
        "target": {1: sources},
    }
    arguments = tuple(torch.full(shapes[name], 0.1) for name in INPUTS)
    # It also logs that an unrelated package is missing, once per operator.
    logging.getLogger("torch.onnx._internal.exporter._registration").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        # The exporter warns of its own deprecations; nothing here can act on them.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            model.eval().cpu(),
            arguments,
            path,
            input_names=list(INPUTS),
            output_names=list(OUTPUTS),
            dynamic_shapes=free,
            dynamo=True,
            external_data=False,
            verbose=False,
        )


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
