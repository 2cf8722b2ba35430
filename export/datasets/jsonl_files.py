"""Reads the files of the `jsonl` adapter, JSON lines or Parquet, into Arrow, with the line number of each row.

Knows file names and the messages for invalid lines and cells; knows nothing of defaults or table rules.
"""

import difflib
import hashlib
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from export.datasets.cells import Converter, converter_for
from export.datasets.errors import DatasetError, Problem
from export.datasets.json_lines import Row, read_json_rows
from export.datasets.tables import TIME, TableSpec
from export.datasets.validation import describe_row

JSON_SUFFIXES = (".jsonl", ".ndjson", ".jsonl.gz", ".ndjson.gz")
SUFFIXES = (*JSON_SUFFIXES, ".parquet")
UNREADABLE_SUFFIXES = (".zst", ".bz2", ".xz", ".lz4", ".br", ".zip")
BATCH_ROWS = 65_536


def find_files(directory: Path, table: str) -> list[Path]:
    """Find the files of a table in a directory: `events.jsonl`, or parts such as `events-00.parquet`.

    Raises DatasetError if two of them are the same data, or one is compressed in a way that is not read.
    """
    named = sorted(p for p in directory.iterdir() if p.name.startswith((f"{table}.", f"{table}-")))
    for path in named:
        if path.suffix in UNREADABLE_SUFFIXES and path.stem.endswith(SUFFIXES):
            raise DatasetError(f"{path}: files that end in {path.suffix} are not read; use {', '.join(SUFFIXES)}")
    found = [path for path in named if path.name.endswith(SUFFIXES)]
    _refuse_duplicates(found, table)
    return found


def _refuse_duplicates(paths: Sequence[Path], table: str) -> None:
    """Raise DatasetError for two files of a table that are one part in two forms, or copies: rows would count twice."""
    by_part: dict[str, list[Path]] = defaultdict(list)
    for path in paths:
        by_part[path.name[: -len(next(s for s in reversed(SUFFIXES) if path.name.endswith(s)))]].append(path)
    for same in by_part.values():
        if len(same) > 1:
            raise DatasetError(f"{_names(same)} in {same[0].parent} are the same part of {table}: remove all but one")
    if table in by_part and len(paths) > 1:
        parts = [path for path in paths if path != by_part[table][0]]
        raise DatasetError(
            f"{by_part[table][0]} stands beside the parts {_names(parts)}: remove it if they hold the same rows, else "
            f"name it {table}-0{by_part[table][0].name.removeprefix(table)}"
        )
    by_size: dict[int, list[Path]] = defaultdict(list)
    for path in paths:
        if path.is_file():
            by_size[path.stat().st_size].append(path)
    for size, alike in by_size.items():
        seen: dict[bytes, Path] = {}
        for path in alike if size and len(alike) > 1 else ():
            first = seen.setdefault(_digest(path), path)
            if first != path:
                raise DatasetError(f"{first.name} and {path.name} in {path.parent} have the same content: remove one")


def _names(paths: Sequence[Path]) -> str:
    shown = [path.name for path in paths[:3]]
    return " and ".join(shown) if len(paths) <= len(shown) else f"{', '.join(shown)} and {len(paths) - len(shown)} more"


def _digest(path: Path) -> bytes:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "blake2b").digest()


@dataclass
class RawTable:
    """The rows of a table in file order; null, or empty for lists and maps, where a file has no value."""

    spec: TableSpec
    table: pa.Table
    # Per file: its first row number, its path, and for JSON the line of each row.
    files: list[tuple[int, Path, list[int] | None]]

    def place(self, row: int) -> str:
        """File and line, or file and row, of a row; for rows that are not from a file, the table's row."""
        if row >= len(self.table):
            return describe_row(self.spec.name, row)
        at = bisect_right([start for start, _, _ in self.files], row) - 1
        start, path, lines = self.files[at]
        return f"{path.name} row {row - start + 1}" if lines is None else f"{path.name}:{lines[row - start]}"


def read_files(spec: TableSpec, paths: list[Path], problems: list[Problem]) -> RawTable:
    """Read all rows of the files; a value that cannot be converted becomes null and is reported in `problems`."""
    reader = _Reader(spec, problems)
    files: list[tuple[int, Path, list[int] | None]] = []
    for path in paths:
        start = reader.rows
        lines: list[int] | None = None if path.suffix == ".parquet" else []
        files.append((start, path, lines))
        if lines is None:
            reader.read_parquet(path)
        else:
            reader.read_json_lines(path, lines)
    return RawTable(spec, reader.table(), files)


@dataclass
class _Reader:
    """Collects converted columns of one table, a batch of Python values at a time."""

    spec: TableSpec
    problems: list[Problem]
    rows: int = 0
    unknown: set[tuple[Path, str]] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.convert: dict[str, Converter] = {c.name: converter_for(c) for c in self.spec.columns}
        self.cells: dict[str, list[Any]] = {c.name: [] for c in self.spec.columns}
        self.chunks: list[pa.Table] = []
        self.empty: Row = {c.name: [] if pa.types.is_nested(c.type) else None for c in self.spec.columns}

    def table(self) -> pa.Table:
        self._flush()
        return pa.concat_tables(self.chunks) if self.chunks else self.spec.schema.empty_table()

    def read_json_lines(self, path: Path, lines: list[int]) -> None:
        for number, row in read_json_rows(path, self.problems):
            lines.append(number)
            self._add(path, f"{path.name}:{number}", row)

    def read_parquet(self, path: Path) -> None:
        first = self.rows
        try:
            with pq.ParquetFile(path) as file:
                for batch in file.iter_batches(BATCH_ROWS):
                    begin = self.rows - first + 1
                    for number, row in enumerate(_rows_of(_convert_to_utc(batch), path, begin, self.problems)):
                        self._add(path, f"{path.name} row {begin + number}", row)
        except (pa.ArrowException, OSError) as error:
            after = f" after row {self.rows - first}" if self.rows > first else ""
            reason = str(error).partition("\n")[0]
            raise DatasetError(f"{path}: cannot be read as Parquet{after}: {reason}") from error

    def _add(self, path: Path, place: str, row: Row) -> None:
        for name in row.keys() - self.cells.keys():
            self._report_unknown(path, place, name)
        for name, cells in self.cells.items():
            value = row.get(name)
            cells.append(self.empty[name] if value is None else self._convert(place, name, value))
        self.rows += 1
        if len(self.cells[self.spec.columns[0].name]) >= BATCH_ROWS:
            self._flush()

    def _convert(self, place: str, name: str, value: Any) -> Any:
        try:
            return self.convert[name](value)
        except (TypeError, ValueError, OverflowError) as error:
            self.problems.append(Problem(place, name, str(error)))
            return self.empty[name]

    def _report_unknown(self, path: Path, place: str, name: str) -> None:
        """Report an unknown column once per file: a misspelt one would silently be missing."""
        if (path, name) in self.unknown:
            return
        self.unknown.add((path, name))
        close = difflib.get_close_matches(name, self.cells, n=1)
        known = f"did you mean {close[0]}?" if close else f"{self.spec.name} have {', '.join(self.cells)}"
        self.problems.append(Problem(place, name, f"is not a column; {known}"))

    def _flush(self) -> None:
        arrays = [pa.array(self.cells[c.name], type=c.type) for c in self.spec.columns]
        self.chunks.append(pa.Table.from_arrays(arrays, schema=self.spec.schema))
        self.cells = {name: [] for name in self.cells}


def _convert_to_utc(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Timestamps as UTC; those without a time zone are interpreted as UTC, as Parquet writers do."""
    columns = [
        column.cast(TIME, safe=False) if pa.types.is_timestamp(column.type) else column for column in batch.columns
    ]
    return pa.RecordBatch.from_arrays(columns, names=batch.schema.names)


def _rows_of(batch: pa.RecordBatch, path: Path, begin: int, problems: list[Problem]) -> list[Row]:
    """The rows of a batch; cells that Python cannot hold, like texts that are not UTF-8, are reported and null."""
    try:
        rows: list[Row] = batch.to_pylist()
    except (ValueError, OverflowError):
        rows = [
            {name: _cell(batch, name, row, f"{path.name} row {begin + row}", problems) for name in batch.schema.names}
            for row in range(batch.num_rows)
        ]
    return rows


def _cell(batch: pa.RecordBatch, name: str, row: int, place: str, problems: list[Problem]) -> Any:
    try:
        return batch.column(name)[row].as_py()
    except UnicodeDecodeError as error:
        problems.append(Problem(place, name, f"is not UTF-8: byte 0x{error.object[error.start]:02x}"))
    except (ValueError, OverflowError) as error:
        problems.append(Problem(place, name, f"cannot be read: {error}"))
    return None
