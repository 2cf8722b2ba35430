"""What the columns of a file hold: kinds, counts, ranges and examples.

Reads at most the first rows of a file, as texts; knows nothing of what they are for.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from export.datasets.cells import MISSING_NUMBER, MISSING_TEXT
from export.datasets.errors import DatasetError, Problem
from export.datasets.file_batches import Cells, open_batches
from export.datasets.times import TimeParser
from services.settings.source import SourceSettings

MOST_ROWS = 300_000
OTHER_ENCODING = "cp1252"
DAY_FORMATS = ("%m/%d/%Y", "%d/%m/%Y", "%d.%m.%Y", "%Y/%m/%d", "%d-%m-%Y", "%m-%d-%Y", "%Y%m%d")
CLOCK_FORMATS = ("", " %H:%M:%S", " %H:%M")
BINARY_WORDS = ({"0", "1"}, {"true", "false"}, {"yes", "no"}, {"0.0", "1.0"})

Kind = Literal["integer", "number", "text", "time", "list", "object", "empty"]


@dataclass(frozen=True)
class ColumnProfile:
    """One column.

    Args:
        name: in the file.
        kind: what all its cells are.
        values: its cells as texts, null where they say missing.
        codes: a code per row for each distinct text, -1 for null.
        distinct: number of distinct texts.
        missing: share of rows without a value.
        time_format: strptime format of times that are not ISO 8601.
        zoned: whether times have a zone.
    """

    name: str
    kind: Kind
    values: pa.Array
    codes: npt.NDArray[np.int64]
    distinct: int
    missing: float
    time_format: str = ""
    zoned: bool = True

    @property
    def examples(self) -> list[str]:
        """The first three distinct texts."""
        return [str(text) for text in pc.unique(self.values.drop_null())[:3].to_pylist()]

    @property
    def words(self) -> set[str]:
        """Its distinct texts, if they are few."""
        return set(pc.unique(self.values.drop_null()).to_pylist()) if self.distinct <= 1000 else set()

    @property
    def binary(self) -> bool:
        """Whether it holds two values that mean no and yes."""
        return self.distinct == 2 and {str(word).lower() for word in self.words} in BINARY_WORDS

    @property
    def numbers(self) -> npt.NDArray[np.float64]:
        """Its numbers, without missing ones."""
        return np.asarray(self.values.drop_null().cast(pa.float64()).to_numpy())

    @property
    def counts_rows(self) -> bool:
        """Whether it only numbers the rows, as the index of pandas does."""
        whole = self.kind == "integer" and not self.missing and len(self.codes) > 1
        return whole and self.numbers[0] in {0, 1} and bool((np.diff(self.numbers) == 1).all())

    @property
    def longest(self) -> int:
        """Bytes of its longest text."""
        return int(pc.max(pc.binary_length(self.values)).as_py() or 0)

    @property
    def length(self) -> float:
        """Mean number of characters."""
        return float(pc.mean(pc.utf8_length(self.values)).as_py() or 0.0)


def is_time(column: ColumnProfile) -> bool:
    """Whether the cells are times: texts, or numbers since 1970 in one unit."""
    if column.kind == "time":
        return True
    if column.kind not in {"integer", "number"}:
        return False
    return parse_times(column) is not None


def parse_times(column: ColumnProfile) -> pa.Array | None:
    """The times of a column, ISO 8601 or since 1970 in one unit, UTC where they have no zone; None if some are none."""
    return TimeParser(SourceSettings(time_zone="UTC")).parse_array(column.values, from_text=True)


@dataclass(frozen=True)
class FileProfile:
    """One file: its columns, and how many of its rows were read."""

    path: Path
    rows: int
    columns: dict[str, ColumnProfile]
    encoding: str = "utf-8"
    complete: bool = True


def read_profile(path: Path) -> FileProfile:
    """Look at a file. DatasetError if it cannot be read, or has no rows."""
    try:
        return _read(path, "utf-8")
    except UnicodeDecodeError:
        return _read(path, OTHER_ENCODING)


def _read(path: Path, encoding: str) -> FileProfile:
    problems: list[Problem] = []
    try:
        read = open_batches(path, SourceSettings(encoding=encoding), problems)
    except DatasetError as error:
        if encoding == "utf-8" and "is not utf-8" in str(error):
            return _read(path, OTHER_ENCODING)
        raise
    parts: dict[str, list[pa.Array]] = {}
    kinds: dict[str, set[str]] = {}
    rows, complete = 0, True
    for batch in read.batches:
        for name in [*parts, *(name for name in batch.columns if name not in parts)]:
            cells = batch.columns.get(name, [None] * batch.rows)
            made = parts.setdefault(name, [pa.nulls(rows, pa.string())] if rows else [])
            made.append(_as_text(cells, kinds.setdefault(name, set())))
        rows += batch.rows
        if rows >= MOST_ROWS:
            complete = False
            break
    if not rows:
        raise DatasetError(f"{path}: has no rows", problems)
    columns = {name: _profile(name, pa.concat_arrays(made), kinds[name]) for name, made in parts.items()}
    return FileProfile(path, rows, columns, encoding, complete)


def _as_text(cells: Cells, kinds: set[str]) -> pa.Array:
    """The cells as texts; lists and objects as JSON, which `kinds` then names. UnicodeDecodeError for other bytes."""
    if isinstance(cells, pa.Array):
        if pa.types.is_dictionary(cells.type):
            cells = cells.dictionary_decode()
        if not (pa.types.is_nested(cells.type) or pa.types.is_binary(cells.type)):
            return cells.cast(pa.string())
        cells = cells.to_pylist()
    return pa.array([_text(value, kinds) for value in cells], pa.string())


def _text(value: Any, kinds: set[str]) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, list | dict):
        kinds.add("list" if isinstance(value, list) and not (value and isinstance(value[0], tuple)) else "object")
        return json.dumps(value, ensure_ascii=False, default=str)
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def _profile(name: str, texts: pa.Array, kinds: set[str]) -> ColumnProfile:
    trimmed = pc.utf8_trim_whitespace(texts)
    numeric = _cleared(trimmed, MISSING_NUMBER)
    kind: Kind = "object" if "object" in kinds else "list" if "list" in kinds else "text"
    form, zoned = "", True
    values = _cleared(trimmed, MISSING_TEXT)
    if kind == "text":
        kind, form, zoned = _kind_of(numeric)
        values = values if kind == "text" else numeric
    encoded = values.dictionary_encode()
    codes = np.asarray(pc.fill_null(encoded.indices, -1).to_numpy(zero_copy_only=False), dtype=np.int64)
    missing = values.null_count / max(len(values), 1)
    return ColumnProfile(name, kind, values, codes, len(encoded.dictionary), missing, form, zoned)


def _cleared(texts: pa.Array, missing: frozenset[str]) -> pa.Array:
    said = pc.is_in(texts, value_set=pa.array(sorted(missing)))
    return pc.if_else(said, pa.scalar(None, pa.string()), texts)


def _kind_of(values: pa.Array) -> tuple[Kind, str, bool]:
    """The kind of all texts, the format of times, and whether they have zones."""
    given = values.drop_null()
    if not len(given):
        return "empty", "", True
    for kind, type_ in (("integer", pa.int64()), ("number", pa.float64())):
        if _casts(given, type_):
            whole = kind == "number" and pc.all(pc.match_substring_regex(given, r"^-?\d+\.0$")).as_py()
            return ("integer" if whole else "integer" if kind == "integer" else "number"), "", True
    if _casts(given, pa.timestamp("us", "UTC")):
        return "time", "", True
    if _casts(given, pa.timestamp("us")):
        return "time", "", False
    form = _time_format(given)
    return ("time", form, False) if form else ("text", "", True)


def _casts(values: pa.Array, kind: pa.DataType) -> bool:
    try:
        values.cast(kind)
    except pa.ArrowInvalid:
        return False
    return True


def _time_format(values: pa.Array) -> str:
    """The strptime format that all texts have; empty if none is known."""
    first = values[0].as_py()
    if not (first[:1].isdigit() and len(first) <= 20):
        return ""
    for day in DAY_FORMATS:
        for clock in CLOCK_FORMATS:
            parser = TimeParser(SourceSettings(time_format=day + clock, time_zone="UTC"))
            if parser.parse_array(values, from_text=True) is not None:
                return day + clock
    return ""
