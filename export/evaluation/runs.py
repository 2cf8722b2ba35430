"""What evaluation reads of a trained model: probabilities of the evaluated rows, transfer weights, how it was trained.

Knows the files of run directories (export.models.runs); trains nothing.
"""

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from export.evaluation.groups import Floats
from export.evaluation.rows import EvaluationError, EvaluationRows
from export.models.config import Epoch, best_epoch
from export.models.runs import PREDICTIONS_FILE, SOURCES_FILE, TRANSFER_FILE, read_run, run_directory


@dataclass(frozen=True)
class SourcePredictions:
    """What the parts of a model with transfer weights say of the T test rows, in the order of EvaluationRows.

    Args:
        own: [T] P of each row's target scenario.
        without: [T, J] probability without each source scenario.
    """

    own: Floats
    without: Floats


@dataclass(frozen=True)
class Predictions:
    """Predictions of one trained model.

    Args:
        kind: kind of model.
        seed: seed of initial weights and row order.
        probability: [R] for the rows of EvaluationRows.
        transfer: sources, and mean and deviation of M[i,j] over contexts; None for models without transfer weights.
        sources: what its parts say; None for models without transfer weights, and runs of an earlier version.
    """

    kind: str
    seed: int
    probability: Floats
    transfer: dict[str, Any] | None
    sources: SourcePredictions | None = None


def read_predictions(data: Path, kind: str, seed: int, rows: EvaluationRows) -> Predictions:
    """A run's probabilities in the order of `rows`; EvaluationError if the run is of other rows.

    Args:
        data: directory of the data set.
        kind: kind of model.
        seed: seed of the run.
        rows: the rows to evaluate on.
    """
    directory = run_directory(data, kind, seed)
    path = directory / PREDICTIONS_FILE
    if not path.exists():
        raise EvaluationError(f"{path}: missing; train the model with `crossrec train`")
    table = pq.read_table(path, columns=["row", "probability"])
    number, probability = table["row"].to_numpy(), table["probability"].to_numpy().astype(np.float64)
    if len(number) and (number.min() < 0 or number.max() >= rows.total):
        raise EvaluationError(f"{path}: column row: exceeds the {rows.total} rows of rows.parquet: train again")
    of_all_rows = np.full(rows.total, np.nan)
    of_all_rows[number] = probability
    of_rows = of_all_rows[rows.number]
    if np.isnan(of_rows).any():
        missing = int(np.isnan(of_rows).sum())
        raise EvaluationError(
            f"{path}: column probability: missing for {missing} of {len(of_rows)} validation and test rows; the run is "
            "of other training rows: train again"
        )
    transfer = directory / TRANSFER_FILE
    weights = json.loads(transfer.read_text()) if transfer.exists() else None
    return Predictions(kind, seed, of_rows, weights, _read_sources(directory / SOURCES_FILE, rows))


def _read_sources(path: Path, rows: EvaluationRows) -> SourcePredictions | None:
    if not path.exists():
        return None
    table = pq.read_table(path)
    number, wanted = table["row"].to_numpy(), rows.number[rows.split == "test"]
    if not np.array_equal(number, np.sort(wanted)):
        raise EvaluationError(
            f"{path}: column row: {len(number)} rows that are not the {len(wanted)} test rows; the run is of other "
            "training rows: train again"
        )
    place = np.searchsorted(number, wanted)
    own = table["own"].to_numpy().astype(np.float64)
    without = table["without"].combine_chunks().flatten().to_numpy(zero_copy_only=False).reshape(len(number), -1)
    return SourcePredictions(own[place], without[place].astype(np.float64))


def read_training(data: Path, kind: str, seeds: int) -> dict[str, Any] | None:
    """Chosen settings of a kind (of its first seed) and the learning curves of its seeds; None for older runs."""
    runs = {seed: read_run(run_directory(data, kind, seed)) for seed in range(seeds)}
    if not all("choices" in run for run in runs.values()):
        return None
    curve = []
    for seed, run in runs.items():
        points = [Epoch(**point) for point in run["epochs"]]
        kept = best_epoch(points) if points else None
        curve += [
            {
                "seed": seed,
                "steps": point.steps,
                "train_loss": _known(point.train_loss),
                "validation_loss": _known(point.validation_loss),
                "kept": point is kept,
            }
            for point in points
        ]
    return {"choices": runs[0]["choices"], "curve": curve}


def _known(value: float) -> float | None:
    """None for NaN, which JSON lacks."""
    return None if math.isnan(value) else value
