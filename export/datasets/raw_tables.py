"""Reads files, JSON lines, CSV or Parquet alike, into one table of Arrow, with the place of each row.

Knows the messages for invalid lines and cells, and fills in mapped columns; knows nothing of defaults or table rules.
"""

from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from export.datasets.columns import ColumnConverter, Report, python_values
from export.datasets.errors import Problem
from export.datasets.file_batches import Batch, Cells, FileBatches, Locate, first_given, open_batches
from export.datasets.mapping import ColumnMap, describe_unknown
from export.datasets.mixed_attributes import CATEGORY_COLUMNS, may_hold_texts, split_attributes
from export.datasets.tables import CATEGORIES, ColumnSpec, TableSpec
from export.datasets.times import TimeParser
from export.datasets.validation import describe_row
from services.settings.source import SourceSettings

REQUIRED = {
    "events": ("user_id", "scenario_id", "type", "time"),
    "items": ("item_id",),
    "scenarios": ("scenario_id",),
    "users": ("user_id",),
    "erasures": ("user_id", "time"),
}
"""Columns without which a file is of no use; the others have defaults."""

EXAMPLES = {"type": "click", "scenario_id": "all"}
"""Columns that may be the same for all rows, with an example."""


@dataclass(frozen=True)
class TableFile:
    """One file that fills a table, and how its columns are called."""

    path: Path
    map: ColumnMap = field(default_factory=ColumnMap)


@dataclass
class RawTable:
    """The rows of a table in file order; null, or empty for lists and maps, where a file has no value.

    `files` are their first rows and places, `notes` what was read otherwise than by the word, `mapped` the columns
    that were found by another name.
    """

    spec: TableSpec
    table: pa.Table
    files: list[tuple[int, Locate]]
    notes: list[str] = field(default_factory=list)
    mapped: set[str] = field(default_factory=set)

    def place(self, row: int) -> str:
        """File and line, or file and row, of a row; for rows that are not from a file, the table's row."""
        if row >= len(self.table):
            return describe_row(self.spec.name, row)
        start, locate = self.files[bisect_right([start for start, _ in self.files], row) - 1]
        return locate(row - start)


def read_files(
    spec: TableSpec, files: Sequence[TableFile], problems: list[Problem], settings: SourceSettings | None = None
) -> RawTable:
    """Read all rows of the files; a value that cannot be converted becomes null and is reported in `problems`."""
    chosen = settings or SourceSettings()
    raw = RawTable(spec, spec.schema.empty_table(), [])
    chunks: list[pa.Table] = []
    for file in files:
        reader = _TableReader(spec, file, open_batches(file.path, chosen, problems), problems, chosen)
        raw.files.append((sum(map(len, chunks)), reader.locate))
        chunks += reader.tables()
        raw.notes += reader.notes()
        raw.mapped |= reader.mapped
    raw.table = pa.concat_tables([raw.table, *chunks])
    return raw


def raw_table(spec: TableSpec, columns: Mapping[str, list[str]], locate: Locate, problems: list[Problem]) -> RawTable:
    """A table from columns of text that were read otherwise; entries of maps are named like `attributes.year`."""
    rows = len(next(iter(columns.values())))
    batch = Batch({name: pa.array(cells, pa.string()) for name, cells in columns.items()}, rows, 0)
    read = FileBatches(iter([batch]), locate, True, True, "|")
    reader = _TableReader(spec, TableFile(Path(spec.name)), read, problems, SourceSettings())
    return RawTable(spec, pa.concat_tables(reader.tables()), [(0, locate)])


class _TableReader:
    """Reads one file into tables, a batch of rows at a time."""

    def __init__(
        self,
        spec: TableSpec,
        file: TableFile,
        batches: FileBatches,
        problems: list[Problem],
        settings: SourceSettings,
    ) -> None:
        self._spec, self._path, self._map, self._problems = spec, file.path, file.map, problems
        self._settings = settings
        self._times = TimeParser(settings)
        self._reported: set[str] = set()
        self._unused: list[str] = []
        self.mapped: set[str] = set()
        self._file = batches
        self._text, self._separator, self.locate = batches.text or file.map.given, batches.separator, batches.locate
        self._converters = {
            c.name: ColumnConverter(c, self._times, self._separator, from_text=self._text) for c in spec.columns
        }
        self._number, self._texts = (
            ColumnConverter(entry, self._times, self._separator, from_text=self._text)
            for entry in (
                ColumnSpec("entry", pa.float64(), True, "A number of a map."),
                ColumnSpec("entry", pa.list_(pa.string()), True, "Texts of a map."),
            )
        )

    def tables(self) -> Iterator[pa.Table]:
        """The rows as tables of the spec's schema."""
        for batch in self._file.batches:
            sources = self._sources(batch)
            found: list[tuple[int, str, str]] = []
            self._move_categories(batch, sources, found)
            arrays = [self._column(c.name, batch, sources, found) for c in self._spec.columns]
            order = {name: n for n, name in enumerate(self._spec.names)}
            for row, column, reason in sorted(found, key=lambda p: (p[0], order.get(p[1].partition(".")[0], 0))):
                self._problems.append(Problem(self.locate(batch.first + row), column, reason))
            yield pa.Table.from_arrays(arrays, schema=self._spec.schema)

    def _move_categories(
        self, batch: Batch, sources: dict[str, tuple[str, ...]], found: list[tuple[int, str, str]]
    ) -> None:
        """Move texts and lists of texts among the attributes to the column that holds them."""
        for column, target in CATEGORY_COLUMNS.items():
            given = batch.columns[sources[column][0]] if column in sources else []
            if column not in sources or (isinstance(given, pa.Array) and not may_hold_texts(given.type)):
                continue

            def report(row: int, reason: str, column: str = column) -> None:
                found.append((row, column, reason))

            others = batch.columns[sources[target][0]] if target in sources else [None] * batch.rows
            numbers, texts = split_attributes(cell_values(given, report), cell_values(others, report))
            if any(texts):
                batch.columns |= {f"<{column}>": numbers, f"<{target}>": texts}
                sources |= {column: (f"<{column}>",), target: (f"<{target}>",)}

    def notes(self) -> list[str]:
        """What was read otherwise than by the word: units found, columns left out."""
        found = []
        if self._times.unit and self._settings.time_unit == "auto" and self._times.unit != "milliseconds":
            found.append(f"times of {self._path.name} are numbers: read as {self._times.unit} since 1970")
        if self._unused:
            found.append(f"columns of {self._path.name} that {self._spec.name} do not use: {', '.join(self._unused)}")
        return found

    def _sources(self, batch: Batch) -> dict[str, tuple[str, ...]]:
        """Where each column of the table comes from; names that are in no table are reported once a file."""
        names = list(batch.columns)
        found = self._map.sources(self._spec, names)
        self.mapped |= {target for target, columns in self._map.columns.items() if found.get(target) == columns}
        if not batch.first and self._file.columnar:
            self._report_missing(found, names)
        for name in self._map.unused(self._spec, names):
            if name in self._reported:
                continue
            self._reported.add(name)
            if self._map.complete:
                continue
            if self._map.given:
                self._unused.append(name)
            else:
                place = self._path.name if self._file.columnar else self.locate(batch.first + first_given(batch, name))
                self._problems.append(
                    Problem(place, name or "without a name", describe_unknown(name, self._spec, from_text=self._text))
                )
        return found

    def _report_missing(self, sources: dict[str, tuple[str, ...]], names: list[str]) -> None:
        """Report required columns that the file does not have, once, not for every row."""
        lacking = self._map.lacking(names)
        for target, column in lacking:
            reason = f"is mapped to {column}, which is not there; the columns are {', '.join(names)}"
            self._problems.append(Problem(self._path.name, target, reason))
        if self._map.complete and lacking:
            return
        for name in REQUIRED.get(self._spec.name, ()):
            if name in sources or name in self._map.values:
                continue
            if name == "time" and self._settings.time_unit == "order":
                continue
            one = f", or give all rows one: --set {name}={EXAMPLES[name]}" if name in EXAMPLES else ""
            self._problems.append(
                Problem(self._path.name, name, f"is not there: say which column it is: --map {name}=COLUMN{one}")
            )

    def _column(
        self, name: str, batch: Batch, sources: dict[str, tuple[str, ...]], found: list[tuple[int, str, str]]
    ) -> pa.Array:
        def report(row: int, reason: str) -> None:
            found.append((row, name, reason))

        kind = self._spec.column(name).type
        entries = [target for target in sources if target.startswith(f"{name}.")]
        if name in sources:
            array = self._converters[name].convert(joined_cells(batch, sources[name], report), report)
        elif entries:
            array = self._entries(entries, batch, sources, found)
        else:
            array = pa.array([[]] * batch.rows, kind) if pa.types.is_nested(kind) else pa.nulls(batch.rows, kind)
        if name in self._map.values and array.null_count:
            given = ColumnConverter(self._spec.column(name), self._times, self._separator, from_text=True)
            value = given.convert(pa.array([self._map.values[name]]), report)
            array = pc.fill_null(array, value[0])
        return self._as_types(array) if name == "type" and self._settings.types else array

    def _as_types(self, array: pa.Array) -> pa.Array:
        """The words of the files for types as types."""
        words, types = zip(*self._settings.types.items(), strict=True)
        at = pc.index_in(array, value_set=pa.array(words))
        return pc.coalesce(pa.array(types, pa.string()).take(at), array)

    def _entries(
        self,
        entries: list[str],
        batch: Batch,
        sources: dict[str, tuple[str, ...]],
        found: list[tuple[int, str, str]],
    ) -> pa.Array:
        """A map made of one column of the file for each entry."""
        name = entries[0].partition(".")[0]
        converter = self._texts if self._spec.column(name).type == CATEGORIES else self._number
        hint = f"; texts are read as {CATEGORY_COLUMNS[name]}.{{entry}}" if name in CATEGORY_COLUMNS else ""
        columns = []
        for target in entries:

            def report(row: int, reason: str, target: str = target) -> None:
                found.append((row, target, reason + hint.format(entry=target.partition(".")[2])))

            columns.append(converter.convert(batch.columns[sources[target][0]], report).to_pylist())
        keys = [target.partition(".")[2] for target in entries]
        rows = [
            [(key, value) for key, value in zip(keys, row, strict=True) if value is not None]
            for row in zip(*columns, strict=True)
        ]
        return pa.array(rows, self._spec.column(name).type)


def joined_cells(batch: Batch, names: Sequence[str], report: Report) -> Cells:
    """The cells of a column; of several columns, their texts joined."""
    if len(names) == 1:
        return batch.columns[names[0]]
    parts = [cell_values(batch.columns[name], report) for name in names]
    return ["/".join("" if part is None else str(part) for part in row) for row in zip(*parts, strict=True)]


def cell_values(cells: Cells, report: Report) -> list[Any]:
    """The cells as Python values; those that it cannot hold are reported."""
    return python_values(cells, report) if isinstance(cells, pa.Array) else cells
