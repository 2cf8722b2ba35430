"""What defines a kind of model: names, default training choices, and how it is built, fitted and exported.

A kind's file ends with its `Kind`; `export.models.kinds` lists all of them. Knows no kind.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from export.models.base import Model, ModelError, TorchModel
from export.models.config import Epoch, TrainingConfig
from export.models.onnx_export import export_onnx
from export.rows.reader import RowSource

Build = Callable[[RowSource, TrainingConfig], TorchModel]
"""Makes an untrained model for training rows."""

Fit = Callable[[RowSource, RowSource, TrainingConfig, Callable[[str], None]], tuple[Model, list[Epoch]]]
"""Fits a model on training and validation rows, with its learning curve; the last argument logs a line."""

Export = Callable[[Any, Path], None]
"""Writes a trained model of the kind as an ONNX graph."""


@dataclass(frozen=True)
class Kind:
    """A kind of model; has either `build` or `fit`.

    Args:
        name: its name on the command line, in run directories and in the model registry.
        title: its name in reports.
        description: what it is, in one line of a report.
        config: its default training choices, the best ones known.
        build: for torch modules, which gradient descent fits (export.training.train).
        fit: for all other models: their own fit.
        export: writes model.onnx, which scores one request per run.
        export_batched: writes the graph that scores several requests per run; None: the kind has none.
        has_transfer: whether a score sums preferences of several source scenarios with transfer weights.
    """

    name: str
    title: str
    description: str
    config: TrainingConfig
    build: Build | None = None
    fit: Fit | None = None
    export: Export = export_onnx
    export_batched: Export | None = None
    has_transfer: bool = False

    def __post_init__(self) -> None:
        if (self.build is None) == (self.fit is None):
            raise ModelError(f"kind {self.name}: needs either build or fit")
