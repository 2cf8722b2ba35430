"""Reads JSON lines, CSV and Parquet files as batches of columns, with the place of each row.

Knows the three formats; knows nothing of tables.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import pyarrow as pa
import pyarrow.parquet as pq

from export.datasets.csv_files import CsvFile
from export.datasets.errors import DatasetError, Problem
from export.datasets.json_lines import Row, read_json_rows
from export.datasets.jsonl_files import JSON_SUFFIXES
from services.settings.source import SourceSettings

BATCH_ROWS = 65_536

Locate = Callable[[int], str]
"""The place of a row of a file: file and line, or file and row."""

Cells: TypeAlias = pa.Array | list[Any]


@dataclass
class Batch:
    """Rows of a file by column, and the number of the first one."""

    columns: dict[str, Cells]
    rows: int
    first: int


@dataclass(frozen=True)
class FileBatches:
    """A file's rows.

    Args:
        batches: the rows; errors of lines are added to the problems that `open_batches` was given.
        locate: the place of a row.
        text: whether all cells are texts, as in CSV.
        columnar: whether all rows have the same columns.
        separator: between the names of a list in a text.
    """

    batches: Iterator[Batch]
    locate: Locate
    text: bool
    columnar: bool
    separator: str


def open_batches(path: Path, settings: SourceSettings, problems: list[Problem]) -> FileBatches:
    """The rows of a file, by the end of its name; what is neither JSON lines nor Parquet is CSV."""
    if path.name.endswith(JSON_SUFFIXES):
        lines: list[int] = []
        batches = _json_batches(path, lines, problems)
        return FileBatches(batches, lambda row: f"{path.name}:{lines[row]}", False, False, settings.list_separator)
    if path.suffix == ".parquet":
        return FileBatches(
            _parquet_batches(path), lambda row: f"{path.name} row {row + 1}", False, True, settings.list_separator
        )
    csv = CsvFile.open(path, settings.encoding)
    separator = " " if csv.types else settings.list_separator
    return FileBatches(_csv_batches(csv, problems), csv.place, True, True, separator)


def _json_batches(path: Path, lines: list[int], problems: list[Problem]) -> Iterator[Batch]:
    rows: list[Row] = []
    for number, row in read_json_rows(path, problems):
        lines.append(number)
        rows.append(row)
        if len(rows) == BATCH_ROWS:
            yield _by_column(rows, len(lines) - len(rows))
            rows = []
    if rows:
        yield _by_column(rows, len(lines) - len(rows))


def _by_column(rows: list[Row], first: int) -> Batch:
    names = dict.fromkeys(name for row in rows for name in row)
    return Batch({name: [row.get(name) for row in rows] for name in names}, len(rows), first)


def first_given(batch: Batch, name: str) -> int:
    """The first row that has a value in the column; 0 if none has."""
    cells: Iterable[Any] = batch.columns[name]
    return next((row for row, value in enumerate(cells) if value is not None), 0)


def _parquet_batches(path: Path) -> Iterator[Batch]:
    first = 0
    try:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(BATCH_ROWS):
                yield Batch(dict(zip(batch.schema.names, batch.columns, strict=True)), batch.num_rows, first)
                first += batch.num_rows
    except (pa.ArrowException, OSError) as error:
        after = f" after row {first}" if first else ""
        reason = str(error).partition("\n")[0]
        raise DatasetError(f"{path}: cannot be read as Parquet{after}: {reason}") from error


def _csv_batches(file: CsvFile, problems: list[Problem]) -> Iterator[Batch]:
    first = 0
    for batch in file.batches(problems):
        yield Batch(dict(zip(file.names, batch.columns, strict=True)), batch.num_rows, first)
        first += batch.num_rows
