"""Splits the training rows of a data set anew, to compare models with figures of others: at random, or by users' time.

Where the split has an order, features are point in time as ever, so nothing is replayed: the rows are copied with
another column `split`, and their contexts, moments and texts are shared with the data set's. A random split has none:
its rows are made by export.replay.cross_fit.
"""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from export.datasets.errors import DatasetError
from export.datasets.splits import METHODS, describe_split, split_rows
from export.datasets.storage import DatasetReader
from export.datasets.tables import SPLITS
from export.replay.cross_fit import cross_fit_rows
from export.replay.progress import OnProgress
from export.rows.provenance import require_current_rows
from export.rows.reader import read_info
from export.rows.writer import INFO_FILE
from services.infra.folder_lock import hold
from services.registry.vectors_file import VECTORS
from services.settings.load import Settings
from services.settings.private_files import make_private_directory
from services.settings.training import DatasetSettings

ROWS_FILE = "rows.parquet"
SHARED_FILES = ("contexts.parquet", "moments.parquet", "texts.parquet", VECTORS)


AT_RANDOM = "random"


def resplit_data(settings: Settings, data: str, method: str, on_progress: OnProgress = lambda *_: None) -> str:
    """Split a data set's rows by another method; the name, below data_dir, of the data set that they make.

    Raises DatasetError for an unknown method, StaleRows if the rows to split are not those of today's data, settings
    and code, and FolderInUse while another process splits the same rows.
    """
    if method not in METHODS:
        raise DatasetError(f"split: {method!r} is none of {', '.join(METHODS)}")
    times = {} if method == "time" else {"validation_from": None, "test_from": None}
    rules = settings.dataset.model_copy(update={"split": method, **times})
    name = describe_split(rules).replace("/", "-").replace(" ", "-").replace("'", "").replace(":", "")
    directory = settings.data_dir / data
    target = directory / "splits" / f"{name}-seed{rules.seed}"
    make_private_directory(target)
    with hold(target / ".lock", target, "split"):
        if method == AT_RANDOM:
            cross_fit_rows(settings, DatasetReader(directory), target / "rows", rules, on_progress)
        else:
            require_current_rows(settings, data)
            resplit_rows(directory / "rows", target / "rows", rules)
        _share(directory / "dataset.json", target / "dataset.json")
    return str(target.relative_to(settings.data_dir))


def resplit_rows(rows: Path, out: Path, rules: DatasetSettings) -> None:
    """Write the rows with other splits to `out`, unless they are there."""
    held = (rows / ROWS_FILE).stat()
    info: dict[str, Any] = {
        **read_info(rows),
        "split": f"split {describe_split(rules)}, seed {rules.seed}",
        "split_of": {"bytes": held.st_size, "written_ns": held.st_mtime_ns},
    }
    made = out / INFO_FILE
    if made.exists() and json.loads(made.read_text()) == info:
        return
    make_private_directory(out)
    made.unlink(missing_ok=True)
    for name in SHARED_FILES:
        if (rows / name).exists():  # rows without item vectors have no file of them
            _share(rows / name, out / name)
    with pq.ParquetFile(rows / ROWS_FILE) as file:
        ids = file.read(columns=["user_id", "request_id", "time_s"])
        time_ms = np.round(ids["time_s"].to_numpy() * 1000).astype(np.int64)
        split = np.array(SPLITS, object)[split_rows(ids["user_id"], ids["request_id"], time_ms, rules)]
        _copy(file, out / ROWS_FILE, split)
    made.write_text(json.dumps(info, indent=2) + "\n")


def _copy(file: pq.ParquetFile, out: Path, split: np.ndarray) -> None:
    """Copy the rows, a row group at a time, with another column `split` [rows]."""
    begin = 0
    with pq.ParquetWriter(out, file.schema_arrow, compression="zstd") as copy:
        for group in range(file.metadata.num_row_groups):
            table = file.read_row_group(group)
            column = pa.array(split[begin : begin + len(table)], pa.string())
            begin += len(table)
            place = table.schema.get_field_index("split")
            copy.write_table(table.set_column(place, table.schema.field(place), column), row_group_size=len(table))


def _share(source: Path, target: Path) -> None:
    """Link a file, or copy it where the file system has no links.

    A later replay writes through the link; the rows are then split again, since their file has changed.
    """
    target.unlink(missing_ok=True)
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
