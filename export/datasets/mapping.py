"""Which columns of a file fill which columns of a table. Pure; names only."""

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import pyarrow as pa

from export.datasets.errors import DatasetError
from export.datasets.tables import ALL_TABLES, TableSpec

INDEX_NAMES = ("", "Unnamed: 0", "__index_level_0__", "index", "level_0")
"""Names that pandas gives to the index of a table where it is written as a column."""


@dataclass(frozen=True)
class ColumnMap:
    """Names of a file's columns for the columns of a table.

    Args:
        columns: column of the table (or `attributes.x`, an entry of one) to columns of the file; several columns are
            joined. A column that is not here is found by its own name.
        values: columns of the table that are the same for all rows.
        complete: whether `columns` names all that is used; other columns of the file are then left out, without names.
    """

    columns: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    values: Mapping[str, str] = field(default_factory=dict)
    complete: bool = False

    @property
    def given(self) -> bool:
        """Whether names were mapped: then columns of the file that no table has are left out, not refused."""
        return bool(self.columns) or self.complete

    def sources(self, spec: TableSpec, names: Iterable[str]) -> dict[str, tuple[str, ...]]:
        """Column of the table, or entry of a map in it, to columns of the file, of those that the file has."""
        there = list(names)
        found: dict[str, tuple[str, ...]] = {}
        if not self.complete:
            maps = map_columns(spec)
            for name in there:
                table_column, dot, entry = name.partition(".")
                if name in spec.names or (dot and entry and table_column in maps):
                    found[name] = (name,)
        mapped = self.columns.items()
        return found | {
            target: columns
            for target, columns in mapped
            if target.partition(".")[0] in spec.names and all(column in there for column in columns)
        }

    def lacking(self, names: Iterable[str]) -> list[tuple[str, str]]:
        """Columns of the table, and the mapped columns that the file does not have, where all must be there."""
        there = set(names)
        pairs = ((target, column) for target, columns in self.columns.items() for column in columns)
        return [pair for pair in pairs if self.complete and pair[1] not in there]

    def unused(self, spec: TableSpec, names: Iterable[str]) -> list[str]:
        """Columns of the file that fill nothing."""
        there = list(names)
        used = {column for columns in self.sources(spec, there).values() for column in columns}
        return [name for name in there if name not in used]


def map_columns(spec: TableSpec) -> set[str]:
    """Columns of the table that hold named numbers or texts."""
    return {column.name for column in spec.columns if pa.types.is_map(column.type)}


def describe_unknown(name: str, spec: TableSpec, *, from_text: bool = False) -> str:
    """What may be meant by a column of a file that the table does not have; with the flag, too, for files of text."""
    if name in INDEX_NAMES:
        return "is not a column; it looks like the index of pandas: write the file with index=False"
    close = difflib.get_close_matches(name.lower(), spec.names, n=1)
    if close:
        return f"is not a column; did you mean {close[0]}?" + (f" then --map {close[0]}={name}" if from_text else "")
    return f"is not a column; {spec.name} have {', '.join(spec.names)}"


def check_mapped(columns: Mapping[str, tuple[str, ...]], found: set[str]) -> None:
    """Raise DatasetError for a mapped column that is in no table, or that no file has."""
    for target, names in columns.items():
        if target.partition(".")[0] not in {name for spec in ALL_TABLES for name in spec.names}:
            raise DatasetError(f"--map {target}={'/'.join(names)}: no table has a column {target}")
        if target not in found:
            raise DatasetError(f"--map {target}={'/'.join(names)}: no file has a column {'/'.join(names)}")
