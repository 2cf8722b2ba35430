"""Reads CSV files as people have them: comma, tab, semicolon or bar, quotes, gzip, a byte order mark.

All cells are texts, empty ones null. Knows nothing of tables: the header's names are given as they are, without the
types that RecBole writes behind them (`user_id:token`).
"""

import csv
import io
import sys
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import pyarrow as pa
import pyarrow.csv as pc_csv

from export.datasets.errors import DatasetError, Problem
from export.datasets.json_lines import UTF8_MARK, opened_text, reading_text

EXPECTED = "a CSV file with a header"
DELIMITERS = ("\t", ",", ";", "|")
BLOCK_BYTES = 4 << 20
RECBOLE_TYPES = ("token", "token_seq", "float", "float_seq")
"""Types behind the names of RecBole's atomic files."""


@dataclass
class CsvFile:
    """A CSV file's form, found from its first line.

    Args:
        path: the file.
        encoding: of its text.
        delimiter: between its cells.
        names: of its columns, spaces around them left out.
        skipped: lines before the header.
        types: RecBole's type of each column, empty for other files.
    """

    path: Path
    encoding: str
    delimiter: str
    names: list[str]
    skipped: int = 0
    types: tuple[str, ...] = ()
    _before: list[int] = field(default_factory=list)
    """For each row of another width, the number of whole rows before it."""
    _lines: list[int] | None = None

    @classmethod
    def open(cls, path: Path, encoding: str = "utf-8") -> "CsvFile":
        """Read the header. DatasetError if the file has none, or names a column twice."""
        with opened_text(path, f"{EXPECTED} in UTF-8") as file, reading_text(path, lambda: "line 0"):
            first, second = file.readline(), file.readline()
        sep = first.removeprefix(UTF8_MARK).strip().lower()
        skipped = 1 if sep.startswith(b"sep=") and len(sep) == 5 else 0  # as Excel writes and reads it
        header = _decode(second if skipped else first, path, skipped + 1, encoding)
        if not header.strip():
            raise DatasetError(f"{path}: is empty; expected {EXPECTED}")
        delimiter = chr(sep[4]) if skipped else _find_delimiter(header)
        names = [name.strip() for name in next(csv.reader([header], delimiter=delimiter))]
        types = tuple(name.rpartition(":")[2] for name in names)
        if not all(kind in RECBOLE_TYPES for kind in types):
            types = ()
        names = [name.rpartition(":")[0] for name in names] if types else names
        twice = [name for name in dict.fromkeys(names) if names.count(name) > 1]
        if twice:
            raise DatasetError(f"{path}:{skipped + 1}: column {twice[0]} occurs twice in the header")
        return cls(path, encoding, delimiter, names, skipped, types)

    def batches(self, problems: list[Problem]) -> Iterator[pa.RecordBatch]:
        """The rows, texts as bytes: their encoding is not checked yet. Rows of another width are `problems`.

        Raises DatasetError if the file cannot be read, or a quote is never closed.
        """
        rows, quotes, wrong = 0, 0, list[tuple[int, int]]()
        first = self.skipped + 2  # Arrow counts from 1, with the header and the lines before it

        def on_wrong(row: pc_csv.InvalidRow) -> str:
            self._before.append(row.number - first - len(wrong))
            wrong.append((row.number - first, row.actual_columns))
            return "skip"

        with opened_text(self.path, EXPECTED) as file, reading_text(self.path, lambda: f"row {rows}"):
            watched = _QuoteCounter(file)
            try:
                for batch in self._open(watched, on_wrong):
                    yield batch
                    rows += batch.num_rows
            except pa.ArrowInvalid as error:
                if "Empty CSV" not in str(error):  # a header alone has no rows
                    raise DatasetError(f"{self.path}: cannot be read after row {rows}: {_reason(error)}") from None
            quotes = watched.quotes
        if quotes % 2:
            self._refuse_open_quote()
        for number, cells in wrong:
            found = f"has {cells} cell{'s' if cells > 1 else ''}, the header {len(self.names)}"
            problems.append(Problem(f"{self.path.name}:{self._record_lines()[number]}", "", found))

    def _open(self, file: "_QuoteCounter", on_wrong: object) -> pc_csv.CSVStreamingReader:
        kind = pa.binary() if self.encoding == "utf-8" else pa.string()
        return pc_csv.open_csv(
            pa.PythonFile(file, mode="r"),
            pc_csv.ReadOptions(
                use_threads=False,  # rows of another width are then numbered
                block_size=BLOCK_BYTES,
                encoding=self.encoding,
                column_names=self.names,
                skip_rows=self.skipped + 1,
            ),
            pc_csv.ParseOptions(delimiter=self.delimiter, newlines_in_values=True, invalid_row_handler=on_wrong),
            pc_csv.ConvertOptions(
                column_types=dict.fromkeys(self.names, kind),
                strings_can_be_null=True,
                quoted_strings_can_be_null=True,
                null_values=[""],
                check_utf8=False,
            ),
        )

    def place(self, row: int) -> str:
        """File and line of a row; reads the file once for it."""
        lines, number = self._record_lines(), row + bisect_right(self._before, row)
        return f"{self.path.name}:{lines[number]}" if number < len(lines) else f"{self.path.name} row {row + 1}"

    def _record_lines(self) -> list[int]:
        """The line in which each row begins, rows of another width too; reads the file the first time."""
        if self._lines is None:
            self._lines = [line for line, _ in self._records()][1:]
        return self._lines

    def _records(self) -> Iterator[tuple[int, bool]]:
        """Line, and whether the record has an odd number of quotes, of each record that is not blank."""
        csv.field_size_limit(sys.maxsize)
        with opened_text(self.path, EXPECTED) as file:
            text = io.TextIOWrapper(file, self.encoding, errors="replace", newline="")
            lines = _Lines(text)
            for _ in range(self.skipped):
                next(lines)
            for record in csv.reader(lines, delimiter=self.delimiter):
                begin, quotes = lines.taken()
                if record:
                    yield begin, bool(quotes % 2)

    def _refuse_open_quote(self) -> None:
        *_, (line, odd) = self._records()
        if odd:
            raise DatasetError(f"{self.path}:{line}: a quote is opened in this row and never closed")


class _Lines:
    """Lines of a file, with the number of the first of each record, and its quotes."""

    def __init__(self, file: io.TextIOWrapper) -> None:
        self._file = file
        self._number, self._begin, self._quotes = 0, 1, 0

    def __iter__(self) -> "_Lines":
        return self

    def __next__(self) -> str:
        line = self._file.readline()
        if not line:
            raise StopIteration
        self._number += 1
        self._quotes += line.count('"')
        return line

    def taken(self) -> tuple[int, int]:
        """First line and quotes of the record just read."""
        found = self._begin, self._quotes
        self._begin, self._quotes = self._number + 1, 0
        return found


class _QuoteCounter:
    """A file that counts the quotes in what is read: an odd number means that one was not closed."""

    closed = False

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.quotes = 0

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(size)
        self.quotes += data.count(b'"')
        return data

    def close(self) -> None:
        """The file is closed where it was opened."""

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return False

    def writable(self) -> bool:
        return False


def _find_delimiter(header: str) -> str:
    """The delimiter that cuts the header into most names; a comma if there is one name alone."""
    counts = {mark: len(next(csv.reader([header], delimiter=mark))) for mark in DELIMITERS}
    best = max(counts, key=lambda mark: counts[mark])
    return best if counts[best] > 1 else ","


def _decode(line: bytes, path: Path, number: int, encoding: str) -> str:
    try:
        return line.removeprefix(UTF8_MARK).decode("utf-8" if encoding == "utf-8" else encoding)
    except UnicodeDecodeError as error:
        raise DatasetError(f"{path}:{number}: is not {encoding}: byte 0x{line[error.start]:02x}") from None
    except LookupError:
        raise DatasetError(f"source.encoding: Python knows no encoding {encoding!r}") from None


def _reason(error: Exception) -> str:
    return str(error).partition("\n")[0]
