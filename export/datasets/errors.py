"""Errors of data set import: the problem, its table or file, row and column.

Knows how problems are formatted; knows nothing of the rules.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from services.errors import CrossRecError

MAX_LISTED_PROBLEMS = 20


@dataclass(frozen=True)
class Problem:
    """One invalid cell: `place` is a table row or a file line, `column` is empty for a whole row."""

    place: str
    column: str
    reason: str

    def __str__(self) -> str:
        """`place, column name: reason`."""
        where = f"{self.place}, column {self.column}" if self.column else self.place
        return f"{where}: {self.reason}"


class DatasetError(CrossRecError):
    """A data set cannot be read, or violates the rules of the three tables."""

    def __init__(self, message: str, problems: Sequence[Problem] = ()) -> None:
        self.problems = tuple(problems)
        lines = [f"  {problem}" for problem in self.problems[:MAX_LISTED_PROBLEMS]]
        more = len(self.problems) - len(lines)
        if more > 0:
            lines.append(f"  ... and {more} more")
        super().__init__("\n".join([message, *lines]))


def check_writable(out: Path) -> None:
    """Raise DatasetError if a directory can neither be made nor written; called before long work."""
    nearest = next(path for path in (out, *out.absolute().parents) if path.exists())
    if not nearest.is_dir():
        raise DatasetError(f"{out}: cannot be written: {nearest} is a file, not a directory")
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise DatasetError(f"{out}: cannot be written: no right to write into {nearest}")


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Raise DatasetError, naming the file or directory, where it cannot be written: a full disk, a missing right."""
    try:
        yield
    except OSError as error:
        raise DatasetError(f"{path}: cannot be written: {error.strerror or error}") from error


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Raise DatasetError, naming the file, where it cannot be read or is damaged."""
    try:
        yield
    except (pa.ArrowException, OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        reason = (str(error) or type(error).__name__).partition("\n")[0]
        raise DatasetError(f"{path}: cannot be read: {reason}; import the data set again") from error
