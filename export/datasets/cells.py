"""Single values of JSON lines or Parquet files, converted to what a table column holds.

Knows which spellings are accepted; each converter raises ValueError with the reason. Doesn't know files.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa

from export.datasets.tables import TIME, ColumnSpec

# 1973 in milliseconds, and the present in seconds: a smaller time is most likely not in milliseconds.
_EARLIEST_MS = 100_000_000_000
_LATEST_MS = 100 * _EARLIEST_MS
_SHOWN_CHARACTERS = 40

Converter = Callable[[Any], Any]


def converter(column: ColumnSpec) -> Converter:
    """The function that converts the non-null values of `column`."""
    if column.type == pa.string():
        return identifier if column.name.endswith("_id") else text
    return {TIME: time_ms, pa.float64(): number, pa.int8(): whole_number}.get(
        column.type, text_list if pa.types.is_list(column.type) else number_map
    )


def text(value: Any) -> str:
    """A string."""
    if not isinstance(value, str):
        raise TypeError(f"{_shown(value)} is not a string")
    return value


def identifier(value: Any) -> str:
    """A string, or an integer, which is written in decimal."""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, str):
        raise TypeError(f"{_shown(value)} is neither a string nor an integer")
    return value


def number(value: Any) -> float:
    """A JSON number."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{_shown(value)} is not a number")
    return float(value)


def whole_number(value: Any) -> int:
    """A small whole number; true is 1, false is 0."""
    if not isinstance(value, int | float) or value not in (0, 1):
        raise ValueError(f"{_shown(value)} is neither 0 nor 1")
    return int(value)


def time_ms(value: Any) -> int:
    """RFC 3339 with a time zone, an aware datetime, or epoch milliseconds."""
    if isinstance(value, datetime):
        return _epoch_ms(value)
    if isinstance(value, str):
        return _parsed_time(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value // 1:
        raise ValueError(f"{_shown(value)} is neither an RFC 3339 time nor epoch milliseconds")
    if not _EARLIEST_MS <= value < _LATEST_MS:
        raise ValueError(f"{_shown(value)} is outside 1973 to 2286 in epoch milliseconds; is it in another unit?")
    return int(value)


def _parsed_time(value: str) -> int:
    try:
        parsed = datetime.fromisoformat(value)
    except ValueError:
        raise ValueError(f"{_shown(value)} is neither an RFC 3339 time nor epoch milliseconds") from None
    if parsed.tzinfo is None:
        raise ValueError(f"{_shown(value)} has no time zone; add Z or an offset such as +01:00")
    return _epoch_ms(parsed)


def _epoch_ms(moment: datetime) -> int:
    since = moment.astimezone(UTC) - datetime(1970, 1, 1, tzinfo=UTC)
    return (since.days * 86_400 + since.seconds) * 1000 + since.microseconds // 1000


def text_list(value: Any) -> list[str]:
    """A list of strings."""
    if not isinstance(value, list) or not all(isinstance(element, str) for element in value):
        raise ValueError(f"{_shown(value)} is not a list of strings")
    return value


def number_map(value: Any) -> list[tuple[str, float]]:
    """An object whose values are numbers; Parquet gives maps as lists of pairs, and structs with nulls."""
    pairs = list(value.items()) if isinstance(value, dict) else value
    if not isinstance(pairs, list) or not all(isinstance(p, tuple) and isinstance(p[0], str) for p in pairs):
        raise ValueError(f"{_shown(value)} is not an object with numbers")
    return [(name, number(amount)) for name, amount in pairs if amount is not None]


def _shown(value: Any) -> str:
    words = repr(value)
    return words if len(words) <= _SHOWN_CHARACTERS else words[: _SHOWN_CHARACTERS - 3] + "..."
