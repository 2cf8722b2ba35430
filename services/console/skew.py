"""The report that `crossrec skew --json FILE` writes, as the console shows it.

Only `features` with a `name` each is required; other plain values of a feature become columns.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from services.errors import CrossRecError

FIRST = ("name", "compared", "different", "largest")
"""Columns that come first, if they are there."""


class InvalidSkewReport(CrossRecError):
    """The file is missing or not a skew report."""


@dataclass(frozen=True)
class SkewTable:
    """The report as a table.

    Args:
        columns: their names.
        rows: their values as text.
        written_s: when the file was written, seconds since 1970.
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    written_s: float


def read_skew(path: Path) -> SkewTable:
    """The report in a file; InvalidSkewReport with the file and the error."""
    try:
        content, written_s = json.loads(path.read_bytes()), path.stat().st_mtime
    except OSError as error:
        raise InvalidSkewReport(f"cannot read {path}: {error.strerror}") from error
    except ValueError as error:
        raise InvalidSkewReport(f"{path} is not JSON: {error}") from error
    lines = content.get("features") if isinstance(content, dict) else None
    if not isinstance(lines, list) or not all(isinstance(line, dict) and "name" in line for line in lines):
        raise InvalidSkewReport(f"{path} holds no `features` with a `name` each")
    columns = _columns(lines)
    rows = [[_text(line.get(column)) for column in columns] for line in sorted(lines, key=_severity)]
    return SkewTable(columns, rows, written_s)


def _columns(lines: Sequence[dict[str, Any]]) -> list[str]:
    plain = {name for line in lines for name, value in line.items() if not isinstance(value, (dict, list))}
    return [name for name in FIRST if name in plain] + sorted(plain - set(FIRST))


def _severity(line: dict[str, Any]) -> float:
    different = line.get("different")
    return -float(different) if isinstance(different, (int, float)) else 0.0


def _text(value: Any) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
