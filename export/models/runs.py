"""Layout of run directories of trained models, which training writes and evaluation reads.

    <data set>/runs/<kind>-seed<k>/                 a model of all rows, features and sources
    <data set>/ablations/<kind>-seed<k>-<digest>/   a model that leaves something out

Knows files; knows nothing of how models learn.
"""

import json
from dataclasses import asdict
from hashlib import blake2b
from pathlib import Path
from typing import Any

from export.rows.selection import Selection

RUN_FILE = "run.json"
"""Choices, metrics and registered version; written last, so a directory without it is an unfinished run."""

PREDICTIONS_FILE = "predictions.parquet"
"""Columns row (number in rows.parquet), split and probability of the validation and test rows."""

TRANSFER_FILE = "transfer.json"
"""Mean and deviation of M[i,j] over the test contexts; models with transfer weights only."""

SOURCES_FILE = "sources.parquet"
"""Columns row, own (P of the target scenario) and without (a list: the probability without each source) of the test
rows; models with transfer weights only."""


def run_directory(data: Path, kind: str, seed: int, selection: Selection | None = None) -> Path:
    """Directory of a run below the data set's directory."""
    if selection is None or selection == Selection():
        return data / "runs" / f"{kind}-seed{seed}"
    digest = blake2b(json.dumps(selection_json(selection), sort_keys=True).encode(), digest_size=4).hexdigest()
    return data / "ablations" / f"{kind}-seed{seed}-{digest}"


def selection_json(selection: Selection) -> dict[str, Any]:
    """A selection as JSON holds it."""
    sets = {name: sorted(getattr(selection, name)) for name in ("dropped_features", "dropped_sources")}
    return {**asdict(selection), "target_share": dict(selection.target_share), **sets}


def read_run(directory: Path) -> dict[str, Any]:
    """The run.json of a finished run."""
    run: dict[str, Any] = json.loads((directory / RUN_FILE).read_text())
    return run


def is_current(directory: Path, rows_info: dict[str, Any]) -> bool:
    """Whether a run is finished and was trained on the rows that `rows_info` (training_rows.json) describes."""
    if not (directory / RUN_FILE).exists():
        return False
    return all(rows_info.get(name) == value for name, value in read_run(directory)["rows"].items())
