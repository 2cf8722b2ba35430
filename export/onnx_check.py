"""ONNX graphs against the models they were exported from: the session, the tolerance and the error.

Knows ONNX Runtime; knows nothing of kinds of models.
"""

from pathlib import Path

import onnxruntime

from services.errors import CrossRecError

TOLERANCE = 1e-5
"""Largest absolute difference that is allowed between a graph and its model."""


class ExportMismatch(CrossRecError):
    """The ONNX graph does not compute what the trained model computes."""


def open_session(path: Path) -> onnxruntime.InferenceSession:
    """An ONNX Runtime session on one CPU thread."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def check_difference(worst: float, graph: str, reference: str, compared: str) -> None:
    """Raise ExportMismatch if the largest difference is above TOLERANCE, or is NaN."""
    if not worst <= TOLERANCE:
        raise ExportMismatch(f"{graph} differs from {reference} by {worst:.2g} on {compared}, allowed: {TOLERANCE:g}")
