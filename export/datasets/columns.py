"""Converts columns of files to the types of table columns: a column at a time where all is well, else by the cell.

Knows Arrow types; cells.py knows single values. A cell that cannot be converted becomes null and is reported.
"""

import math
from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from export.datasets.cells import MISSING_NUMBER, MISSING_TEXT, Converter, converter_for
from export.datasets.file_batches import Cells
from export.datasets.tables import TIME, ColumnSpec
from export.datasets.times import TimeParser

Report = Callable[[int, str], None]
"""Called with the row and the reason of each cell that cannot be converted."""

WORDS = ("type", "split")
"""Columns of texts that are words of the format: spaces around them mean nothing."""

NAME_ENCODING = '; if the file is in another encoding, name it: source.encoding = "cp1252"'

PANDAS_INTEGER = r"^-?\d+\.0$"
"""How pandas writes whole numbers of a column in which one is missing."""


class ColumnConverter:
    """Converts the cells of one column of one file, a batch at a time."""

    def __init__(self, column: ColumnSpec, times: TimeParser, separator: str, *, from_text: bool) -> None:
        """Make the converter of a column; `from_text` if its texts may be any value, as in CSV."""
        self._column, self._times, self._from_text = column, times, from_text
        self._convert: Converter = converter_for(column, times, separator)
        self._convert_text_cell: Converter = converter_for(column, times, separator, from_text=from_text)
        self._empty: Any = [] if pa.types.is_nested(column.type) else None

    def convert(self, cells: Cells, report: Report) -> pa.Array:
        """The cells as an array of the column's type."""
        if isinstance(cells, pa.Array):
            array = _plain(cells)
            whole = self._convert_whole(array)
            if whole is not None:
                return whole
            cells = python_values(array, report)
        converted = [self._convert_cell(row, value, report) for row, value in enumerate(cells)]
        return pa.array(converted, type=self._column.type)

    def _convert_cell(self, row: int, value: Any, report: Report) -> Any:
        if value is None:
            return self._empty
        try:
            if not self._from_text:
                return self._convert(value)
            return self._convert_text_cell(value) if isinstance(value, str) else self._convert(self._loosen(value))
        except (TypeError, ValueError, OverflowError) as error:
            report(row, str(error))
            return self._empty

    def _loosen(self, value: Any) -> Any:
        """Numbers as texts where the column has texts, and single values as lists where it has lists."""
        if pa.types.is_list(self._column.type):
            return [str(part) for part in value] if isinstance(value, list) else [str(value)]
        text = self._column.type == pa.string() and not self._column.name.endswith("_id")
        if text and isinstance(value, int | float):
            return "" if math.isnan(value) else str(value)
        return value

    def _convert_whole(self, array: pa.Array) -> pa.Array | None:
        """The whole column, or None if each cell has to be looked at."""
        kind = self._column.type
        try:
            if kind == TIME:
                cells = _without(array, MISSING_NUMBER) if self._from_text else array
                return self._times.parse_array(cells, from_text=self._from_text)
            if kind == pa.string():
                return self._convert_text(array)
            if kind == pa.float64():
                return self._convert_numbers(array)
        except pa.ArrowException:
            pass
        return None

    def _convert_text(self, array: pa.Array) -> pa.Array | None:
        identifier = self._column.name.endswith("_id")
        if identifier and pa.types.is_integer(array.type):
            return array.cast(pa.string())
        if not pa.types.is_string(array.type):
            return None
        array.validate(full=True)
        if self._from_text and self._column.name in WORDS:
            return pc.utf8_trim_whitespace(array)
        return _without_point_zero(_without(array, MISSING_TEXT)) if identifier and self._from_text else array

    def _convert_numbers(self, array: pa.Array) -> pa.Array | None:
        text = pa.types.is_string(array.type)
        number = pa.types.is_integer(array.type) or pa.types.is_floating(array.type)
        if not (number or (text and self._from_text)):
            return None
        numbers = (_without(array, MISSING_NUMBER) if text else array).cast(pa.float64())
        return pc.if_else(pc.is_nan(numbers), None, numbers)


def _plain(array: pa.Array) -> pa.Array:
    """The array without dictionaries and large offsets; bytes as text where they are UTF-8."""
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    if pa.types.is_large_string(array.type) or pa.types.is_string_view(array.type):
        return array.cast(pa.string())
    if pa.types.is_binary(array.type):
        try:
            return array.cast(pa.string())
        except pa.ArrowInvalid:
            return array
    return array


def _without(array: pa.Array, missing: frozenset[str]) -> pa.Array:
    """Texts without spaces around them, null where they say missing."""
    if not pa.types.is_string(array.type):
        return array
    trimmed = pc.utf8_trim_whitespace(array)
    said = pc.is_in(trimmed, value_set=pa.array(sorted(missing)))
    return pc.if_else(said, pa.scalar(None, pa.string()), trimmed)


def _without_point_zero(ids: pa.Array) -> pa.Array:
    """Ids that pandas wrote as numbers with a point, like 196.0, as they were; others as they are."""
    given = ids.drop_null()
    if len(given) and pc.all(pc.match_substring_regex(given, PANDAS_INTEGER)).as_py():
        return pc.utf8_slice_codeunits(ids, 0, -2)
    return ids


def python_values(array: pa.Array, report: Report) -> list[Any]:
    """The cells as Python values; those that Python cannot hold, like texts that are not UTF-8, are reported."""
    try:
        values: list[Any] = array.to_pylist()
    except (ValueError, OverflowError):
        return [_value(array, row, report) for row in range(len(array))]
    if pa.types.is_binary(array.type):
        return [None if value is None else _decoded(value, row, report) for row, value in enumerate(values)]
    return values


def _value(array: pa.Array, row: int, report: Report) -> Any:
    try:
        return array[row].as_py()
    except UnicodeDecodeError as error:
        report(row, f"is not UTF-8: byte 0x{error.object[error.start]:02x}")
    except (ValueError, OverflowError) as error:
        report(row, f"cannot be read: {error}")
    return None


def _decoded(value: bytes, row: int, report: Report) -> str | None:
    try:
        return value.decode()
    except UnicodeDecodeError as error:
        report(row, f"is not UTF-8: byte 0x{value[error.start]:02x}{NAME_ENCODING}")
        return None
