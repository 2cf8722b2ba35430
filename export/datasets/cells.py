"""Converters of single cells of JSON lines, Parquet or CSV files to the types of table columns.

Knows the accepted formats; each converter raises ValueError or TypeError with the reason. Knows nothing of files.
"""

import json
import math
import re
from collections.abc import Callable
from functools import partial
from typing import Any

import pyarrow as pa

from export.datasets.tables import CATEGORIES, TIME, ColumnSpec
from export.datasets.times import TimeParser, abbreviate

Converter = Callable[[Any], Any]

MISSING_TEXT = frozenset({"", "nan", "NaN", "<NA>", "null", "NULL", "None", "\\N"})
"""What programs write into a text file for a missing id."""

MISSING_NUMBER = MISSING_TEXT | {"NA", "N/A", "#N/A", "NAN", "-"}
"""And for a missing number or time."""

_LABELS = {"true": 1, "yes": 1, "false": 0, "no": 0}
_DECIMAL_COMMA = re.compile(r"[-+]?\d+,\d+")


def converter_for(
    column: ColumnSpec, times: TimeParser | None = None, separator: str = "|", *, from_text: bool = False
) -> Converter:
    """The function that converts the non-null values of `column` to its type, or to None where they say missing.

    Args:
        column: the column of a table.
        times: parses its times; by default zones are required, and units of numbers found.
        separator: between the names of a list in one text.
        from_text: whether all values are text, as in CSV.
    """
    if column.type == TIME:
        parse = partial((times or TimeParser()).parse, from_text=from_text)
        return _given(parse, MISSING_NUMBER) if from_text else _given(parse)
    if column.type == pa.string():
        if column.name.endswith("_id"):
            return _given(parse_identifier, MISSING_TEXT) if from_text else _given(parse_identifier)
        return parse_text
    if pa.types.is_list(column.type):
        return partial(parse_list_text, separator=separator) if from_text else parse_text_list
    if pa.types.is_map(column.type):
        numbers = parse_map_text if from_text else parse_number_map
        return parse_category_map if column.type == CATEGORIES else numbers
    number, text = (parse_number, parse_number_text) if column.type == pa.float64() else (parse_label, parse_label_text)
    return _given(text, MISSING_NUMBER) if from_text else _given(number)


def _given(parse: Converter, missing: frozenset[str] = frozenset()) -> Converter:
    """`parse`, with None for NaN, which is how pandas writes a missing value, and for texts in `missing`."""

    def convert(value: Any) -> Any:
        if missing:
            value = value.strip()
        if (isinstance(value, float) and math.isnan(value)) or (missing and value in missing):
            return None
        return parse(value)

    return convert


def parse_text(value: Any) -> str:
    """Parse a string."""
    if not isinstance(value, str):
        raise TypeError(f"{abbreviate(value)} is not a string")
    return value


def parse_identifier(value: Any) -> str:
    """Parse a string, or a whole number, which becomes decimal text."""
    if isinstance(value, int | float) and not isinstance(value, bool) and value == value // 1:
        return str(int(value))
    if not isinstance(value, str):
        raise TypeError(f"{abbreviate(value)} is neither a string nor an integer")
    return value


def parse_number(value: Any) -> float:
    """Parse a number."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{abbreviate(value)} is not a number")
    return float(value)


def parse_number_text(value: str) -> float:
    """Parse a number in a text."""
    try:
        return float(value)
    except ValueError:
        hint = f"; with a decimal point it is {value.replace(',', '.')}" if _DECIMAL_COMMA.fullmatch(value) else ""
        raise ValueError(f"{abbreviate(value)} is not a number{hint}") from None


def parse_label(value: Any) -> int:
    """Parse a label, 0 or 1; true is 1, false is 0."""
    if not isinstance(value, int | float) or value not in (0, 1):
        raise ValueError(f"{abbreviate(value)} is neither 0 nor 1")
    return int(value)


def parse_label_text(value: str) -> int:
    """Parse a label in a text: 0, 1, true, false, yes or no."""
    if (label := _LABELS.get(value.lower())) is not None:
        return label
    try:
        return parse_label(float(value))
    except ValueError:
        raise ValueError(f"{abbreviate(value)} is neither 0 nor 1") from None


def parse_text_list(value: Any) -> list[str]:
    """Parse a list of strings."""
    if not isinstance(value, list) or not all(isinstance(element, str) for element in value):
        raise ValueError(f"{abbreviate(value)} is not a list of strings")
    return value


def parse_list_text(value: str, separator: str) -> list[str]:
    """Parse a list of strings in one text: JSON, or names between separators."""
    if value.lstrip().startswith("["):
        return parse_text_list(_parse_json(value))
    return [name for part in value.split(separator) if (name := part.strip())]


def parse_number_map(value: Any) -> list[tuple[str, float]]:
    """Parse an object of numbers; Parquet returns maps as lists of pairs, and structs with nulls."""
    pairs = list(value.items()) if isinstance(value, dict) else value
    if not isinstance(pairs, list) or not all(isinstance(p, tuple) and isinstance(p[0], str) for p in pairs):
        raise ValueError(f"{abbreviate(value)} is not an object with numbers")
    return [(name, parse_number(amount)) for name, amount in pairs if amount is not None]


def parse_map_text(value: str) -> list[tuple[str, float]]:
    """Parse an object of numbers in a text, as JSON."""
    return parse_number_map(_parse_json(value)) if value.strip() else []


def parse_category_map(value: Any) -> list[tuple[str, list[str]]]:
    """Parse an object of texts and lists of texts, also as JSON; Parquet returns maps as lists of pairs."""
    given = _parse_json(value) if isinstance(value, str) else value
    pairs = list(given.items()) if isinstance(given, dict) else given
    if not isinstance(pairs, list) or not all(isinstance(p, tuple) and isinstance(p[0], str) for p in pairs):
        raise ValueError(f"{abbreviate(value)} is not an object with texts or lists of texts")
    names = [name for name, _ in pairs]
    if len(set(names)) < len(names):
        raise ValueError(f"{abbreviate(next(name for name in names if names.count(name) > 1))} occurs twice")
    return [(name, _parse_categories(name, found)) for name, found in pairs if found is not None]


def _parse_categories(name: str, value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    if not isinstance(value, list) or not all(isinstance(element, str) for element in value):
        raise ValueError(f"{name}: {abbreviate(value)} is neither a text nor a list of texts")
    return value


def _parse_json(value: str) -> Any:
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        raise ValueError(f"{abbreviate(value)} is not JSON") from None
