"""A trained model as an ONNX graph for serving, checked against PyTorch on real rows.

Knows torch and ONNX; knows nothing of training or registries.
"""

import logging
import warnings
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from torch.export import Dim

from export.training.model import TENSORS, PreferenceTransfer
from export.training.rows import Rows
from services.runtime.errors import CrossRecError

INPUTS = (*TENSORS, "target")
OUTPUTS = ("preference", "transfer", "score", "probability")

TOLERANCE = 1e-5


class ExportMismatch(CrossRecError):
    """The ONNX graph does not compute what the PyTorch model computes."""


def export_onnx(model: PreferenceTransfer, widths: dict[str, int], path: Path) -> None:
    """Write model.onnx with free numbers of scenarios J and items N."""
    scenarios, items = 3, 5
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


def request_inputs(rows: Rows, members: np.ndarray) -> dict[str, np.ndarray]:
    """The ONNX inputs of one request: rows of one context and one target."""
    context, target = int(rows.context[members[0]]), int(rows.target[members[0]])
    sources = rows.behavior.shape[1]
    return {
        "scenario": rows.scenario[rows.moment[context]],
        "behavior": rows.behavior[context][None],
        "language": rows.language[context][None],
        "item": rows.item[members],
        "item_text": rows.item_text[rows.text[members]],
        "cross": rows.cross[members],
        "target": np.eye(sources, dtype=np.float32)[target][None],
    }


def requests_of(rows: Rows) -> list[np.ndarray]:
    """Row indices of each request: rows of one context and one target scenario, in order."""
    code = rows.context * rows.behavior.shape[1] + rows.target
    order = np.argsort(code, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(code[order])) + 1)


def open_session(path: Path) -> onnxruntime.InferenceSession:
    """An ONNX Runtime session on one CPU thread."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def check_onnx(model: PreferenceTransfer, path: Path, rows: Rows, limit: int = 10_000) -> float:
    """Largest difference between ONNX and PyTorch over all outputs on up to `limit` rows.

    Raises ExportMismatch if it is above TOLERANCE.
    """
    session, worst, seen = open_session(path), 0.0, 0
    for members in requests_of(rows):
        inputs = request_inputs(rows, members)
        with torch.no_grad():
            expected = model(*(torch.from_numpy(inputs[name]) for name in INPUTS))
        actual = session.run(OUTPUTS, inputs)
        worst = max(worst, *(float(np.abs(a - e.numpy()).max()) for a, e in zip(actual, expected, strict=True)))
        seen += len(members)
        if seen >= limit:
            break
    if worst > TOLERANCE:
        raise ExportMismatch(f"ONNX differs from PyTorch by {worst:.2g} on {seen} real rows, allowed is {TOLERANCE:g}")
    return worst


def score_onnx(path: Path, rows: Rows) -> np.ndarray:
    """Score R of every row [R], request by request through ONNX Runtime, as the server does."""
    session = open_session(path)
    result = np.empty(len(rows.label))
    for members in requests_of(rows):
        result[members] = session.run(["score"], request_inputs(rows, members))[0]
    return result
