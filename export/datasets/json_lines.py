"""Reads JSON lines, plain or gzip, in UTF-8, as people have them.

A line that is no object is a problem with its place; a file that is not what its name says, or ends early, is refused.
Knows nothing of tables and columns.
"""

import gzip
import json
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, cast

from export.datasets.errors import DatasetError, Problem

GZIP = b"\x1f\x8b"
UTF8_MARK = b"\xef\xbb\xbf"
OTHER_ENCODINGS = {b"\xff\xfe": "UTF-16", b"\xfe\xff": "UTF-16", b"\xff\xfe\x00\x00": "UTF-32", b"PK\x03\x04": "ZIP"}
"""First bytes of what is neither UTF-8 text nor gzip."""

Row = dict[str, Any]


def read_json_rows(path: Path, problems: list[Problem]) -> Iterator[tuple[int, Row]]:
    """Line number (from 1) and object of each line that is not blank.

    Lines that hold no object, and texts with half a character, are added to `problems`. Raises DatasetError if the
    file cannot be read.
    """
    number = 0
    with opened_text(path, "JSON lines in UTF-8") as file, reading_text(path, lambda: f"line {number}"):
        for number, line in enumerate(file, start=1):
            text = line.removeprefix(UTF8_MARK) if number == 1 else line
            if text.strip():
                place = f"{path.name}:{number}"
                row = _parse_line(text, place, problems)
                if row is not None:
                    yield number, _without_halves(row, place, problems) if b"\\u" in line else row


@contextmanager
def opened_text(path: Path, expected: str) -> Iterator[BinaryIO]:
    """The file, decompressed. Raises DatasetError if it is not what its name says: not text, or not `expected`."""
    try:
        with path.open("rb") as file:
            first = file.read(4)
    except OSError as error:
        raise DatasetError(f"{path}: cannot be read: {error.strerror}") from error
    for begin, name in sorted(OTHER_ENCODINGS.items(), reverse=True):
        if first.startswith(begin):
            raise DatasetError(f"{path}: is {name}; expected {expected}")
    compressed = first.startswith(GZIP)
    if compressed and path.suffix != ".gz":
        raise DatasetError(f"{path}: is compressed with gzip; name it {path.name}.gz")
    if not compressed and path.suffix == ".gz":
        raise DatasetError(f"{path}: is not a gzip file; if it is plain text, name it {path.stem}")
    with gzip.open(path, "rb") if compressed else path.open("rb") as file:
        yield cast("BinaryIO", file)


@contextmanager
def reading_text(path: Path, read: Callable[[], str]) -> Iterator[None]:
    """Raise DatasetError where reading fails, with what was `read` before: `line 7`."""
    try:
        yield
    except EOFError:
        raise DatasetError(f"{path}: the gzip file ends early, after {read()}: is it complete?") from None
    except (gzip.BadGzipFile, zlib.error) as error:
        raise DatasetError(f"{path}: the gzip file is damaged after {read()}: {error}") from None
    except OSError as error:
        raise DatasetError(f"{path}: cannot be read after {read()}: {error.strerror or error}") from error


def _parse_line(line: bytes, place: str, problems: list[Problem]) -> Row | None:
    try:
        row = json.loads(line.decode())
    except UnicodeDecodeError as error:
        reason = f"is not UTF-8: byte 0x{line[error.start]:02x} at position {error.start + 1}"
    except json.JSONDecodeError as error:
        reason = f"is not JSON: {error.msg.removesuffix(' at')} at character {error.colno}"
    except ValueError:
        reason = "is not JSON: a number has too many digits"
    except RecursionError:
        reason = "is nested too deeply"
    else:
        if isinstance(row, dict):
            return row
        reason = "is not a JSON object"
    problems.append(Problem(place, "", reason))
    return None


def _without_halves(row: Row, place: str, problems: list[Problem]) -> Row:
    """The row; a column whose name or value holds half a surrogate pair is reported and left out."""
    kept: Row = {}
    for name, value in row.items():
        if _has_half(name) or _has_half(value):
            half = "holds half of a character, like \\ud83d without the other half"
            problems.append(Problem(place, name.encode(errors="backslashreplace").decode(), half))
        else:
            kept[name] = value
    return kept


def _has_half(value: Any) -> bool:
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return True
    return False
