"""Converters of single values in JSON lines or Parquet files to the types of table columns.

Knows the accepted formats; each converter raises ValueError or TypeError with the reason. Knows nothing of files.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa

from export.datasets.tables import TIME, ColumnSpec
from services.features.times import unit_hint

# 1973 in milliseconds, and the present in seconds: a smaller time is most likely not in milliseconds.
_EARLIEST_MS = 100_000_000_000
_LATEST_MS = 100 * _EARLIEST_MS
_MAX_CHARACTERS = 40

Converter = Callable[[Any], Any]


def converter_for(column: ColumnSpec) -> Converter:
    """The function that converts the non-null values of `column`."""
    if column.type == pa.string():
        return parse_identifier if column.name.endswith("_id") else parse_text
    return {TIME: parse_time_ms, pa.float64(): parse_number, pa.int8(): parse_label}.get(
        column.type, parse_text_list if pa.types.is_list(column.type) else parse_number_map
    )


def parse_text(value: Any) -> str:
    """Parse a string."""
    if not isinstance(value, str):
        raise TypeError(f"{_abbreviate(value)} is not a string")
    return value


def parse_identifier(value: Any) -> str:
    """Parse a string, or an integer, which becomes decimal text."""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, str):
        raise TypeError(f"{_abbreviate(value)} is neither a string nor an integer")
    return value


def parse_number(value: Any) -> float:
    """Parse a number."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{_abbreviate(value)} is not a number")
    return float(value)


def parse_label(value: Any) -> int:
    """Parse a label, 0 or 1; true is 1, false is 0."""
    if not isinstance(value, int | float) or value not in (0, 1):
        raise ValueError(f"{_abbreviate(value)} is neither 0 nor 1")
    return int(value)


def parse_time_ms(value: Any) -> int:
    """Parse RFC 3339 with a time zone, an aware datetime, or epoch milliseconds."""
    if isinstance(value, datetime):
        return _epoch_ms(value)
    if isinstance(value, str):
        return _parse_rfc3339(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value // 1:
        raise ValueError(f"{_abbreviate(value)} is neither an RFC 3339 time nor epoch milliseconds")
    if not _EARLIEST_MS <= value < _LATEST_MS:
        raise ValueError(f"{_abbreviate(value)} is outside 1973 to 2286 in epoch milliseconds{unit_hint(value)}")
    return int(value)


def _parse_rfc3339(value: str) -> int:
    try:
        parsed = datetime.fromisoformat(value)
    except ValueError:
        raise ValueError(f"{_abbreviate(value)} is neither an RFC 3339 time nor epoch milliseconds") from None
    if parsed.tzinfo is None:
        raise ValueError(f"{_abbreviate(value)} has no time zone; add Z or an offset such as +01:00")
    return _epoch_ms(parsed)


def _epoch_ms(time: datetime) -> int:
    since = time.astimezone(UTC) - datetime(1970, 1, 1, tzinfo=UTC)
    return (since.days * 86_400 + since.seconds) * 1000 + since.microseconds // 1000


def parse_text_list(value: Any) -> list[str]:
    """Parse a list of strings."""
    if not isinstance(value, list) or not all(isinstance(element, str) for element in value):
        raise ValueError(f"{_abbreviate(value)} is not a list of strings")
    return value


def parse_number_map(value: Any) -> list[tuple[str, float]]:
    """Parse an object of numbers; Parquet returns maps as lists of pairs, and structs with nulls."""
    pairs = list(value.items()) if isinstance(value, dict) else value
    if not isinstance(pairs, list) or not all(isinstance(p, tuple) and isinstance(p[0], str) for p in pairs):
        raise ValueError(f"{_abbreviate(value)} is not an object with numbers")
    return [(name, parse_number(amount)) for name, amount in pairs if amount is not None]


def _abbreviate(value: Any) -> str:
    words = repr(value)
    return words if len(words) <= _MAX_CHARACTERS else words[: _MAX_CHARACTERS - 3] + "..."
