"""Run directories of trained models: `<runs>/<kind>-seed<k>/` with predictions and, for some, transfer weights.

Knows the files that export/training writes; trains nothing.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from export.evaluation.groups import Floats
from export.evaluation.rows import EvaluationError, EvaluationRows


@dataclass(frozen=True)
class Run:
    """One trained model.

    Args:
        kind: kind of model.
        seed: seed of weights and order.
        probability: [R] for the rows of EvaluationRows.
        transfer: sources and mean and deviation of M[i,j] over contexts; None for models without.
    """

    kind: str
    seed: int
    probability: Floats
    transfer: dict[str, Any] | None


def run_directory(runs: Path, kind: str, seed: int) -> Path:
    """Where a run is kept."""
    return runs / f"{kind}-seed{seed}"


def is_current(directory: Path, rows_info: dict[str, Any]) -> bool:
    """Whether a run is finished (run.json is written last) and of these training rows."""
    if not (directory / "run.json").exists():
        return False
    run: dict[str, Any] = json.loads((directory / "run.json").read_text())
    return all(rows_info[name] == value for name, value in run["rows"].items())


def read_run(runs: Path, kind: str, seed: int, rows: EvaluationRows) -> Run:
    """A run with its probabilities in the order of `rows`; EvaluationError if it is not of these rows."""
    directory = run_directory(runs, kind, seed)
    path = directory / "predictions.parquet"
    if not path.exists():
        raise EvaluationError(f"{path}: missing; train the model with `crossrec train`")
    table = pq.read_table(path, columns=["row", "probability"])
    number, probability = table["row"].to_numpy(), table["probability"].to_numpy().astype(np.float64)
    if len(number) and (number.min() < 0 or number.max() >= rows.total):
        raise EvaluationError(f"{path}: column row: reaches past the {rows.total} rows of rows.parquet: train again")
    placed = np.full(rows.total, np.nan)
    placed[number] = probability
    found = placed[rows.number]
    if np.isnan(found).any():
        missing = int(np.isnan(found).sum())
        raise EvaluationError(
            f"{path}: column probability: {missing} of {len(found)} validation and test rows have none; the run is of "
            "other training rows: train again"
        )
    transfer = directory / "transfer.json"
    return Run(kind, seed, found, json.loads(transfer.read_text()) if transfer.exists() else None)
