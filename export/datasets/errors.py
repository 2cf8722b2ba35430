"""Errors of data set import: what is wrong, in which table or file, row and column.

Knows how problems are worded; doesn't know how they are found.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from services.errors import CrossRecError

SHOWN_PROBLEMS = 20


@dataclass(frozen=True)
class Problem:
    """One broken cell: `place` is a table row or a file line, `column` is empty for a whole row."""

    place: str
    column: str
    reason: str

    def __str__(self) -> str:
        """`place, column name: reason`."""
        where = f"{self.place}, column {self.column}" if self.column else self.place
        return f"{where}: {self.reason}"


class DatasetError(CrossRecError):
    """A data set cannot be read, or breaks the rules of the three tables."""

    def __init__(self, message: str, problems: Sequence[Problem] = ()) -> None:
        self.problems = tuple(problems)
        shown = [f"  {problem}" for problem in self.problems[:SHOWN_PROBLEMS]]
        more = len(self.problems) - len(shown)
        if more > 0:
            shown.append(f"  ... and {more} more")
        super().__init__("\n".join([message, *shown]))
