"""The parts of a report: what a section, a table and a cell hold. Knows nothing of figures or HTML."""

from collections.abc import Sequence
from dataclasses import dataclass

from export.evaluation.pictures import Picture


@dataclass(frozen=True)
class Cell:
    """A cell: a text, a smaller one under it, and whether it is the best of its column."""

    text: str
    under: str = ""
    best: bool = False


@dataclass(frozen=True)
class Row:
    """A row of cells; with `group` a heading across the table instead."""

    cells: Sequence[Cell] = ()
    group: str = ""


@dataclass(frozen=True)
class TableOf:
    """A table; `folded` ones open on demand, `prose` ones hold words."""

    caption: str
    columns: Sequence[str]
    rows: Sequence[Row]
    folded: bool = False
    prose: bool = False


@dataclass(frozen=True)
class Section:
    """A section.

    Args:
        key: anchor.
        title: heading.
        intro: what is shown and how to read it.
        found: what was found here, from the numbers.
        notices: what the reader must know or do.
        pictures: plots.
        tables: tables.
    """

    key: str
    title: str
    intro: Sequence[str]
    found: Sequence[str] = ()
    notices: Sequence[str] = ()
    pictures: Sequence[Picture] = ()
    tables: Sequence[TableOf] = ()


def plain(*texts: str) -> Row:
    """A row of texts."""
    return Row([Cell(text) for text in texts])
