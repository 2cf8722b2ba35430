"""Tables as HTML: semantic, narrow enough for a phone, every text escaped."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

MOST_ROWS = 100
"""Most rows of a table; more would slow the page down."""


@dataclass(frozen=True)
class TableCell:
    """A cell with more than a text.

    Args:
        text: its text.
        note: a smaller text below.
        share: 0 to 1, drawn as a bar below; None: no bar.
        colour: a swatch before the text, and of the bar, like #0072B2; "": no swatch.
        mark: a CSS class, like `up`.
    """

    text: str
    note: str = ""
    share: float | None = None
    colour: str = ""
    mark: str = ""


Rows = Sequence[Sequence[TableCell | str]]
"""Rows of a table: cells in the order of its columns."""


@dataclass(frozen=True)
class TableColumn:
    """A column: its heading, and whether its values are numbers, which are right-aligned."""

    title: str
    numeric: bool = False


def table_html(caption: str, columns: Sequence[TableColumn], rows: Rows, most: int = 0) -> str:
    """A table with a caption; of more than `most` rows (0: MOST_ROWS) the first, and how many there are."""
    most = most or MOST_ROWS
    head = "".join(f'<th scope="col"{_side(column)}>{escape(column.title)}</th>' for column in columns)
    body = "".join(f"<tr>{_row(columns, row)}</tr>" for row in rows[:most])
    left = f"<p>The first {most:,} of {len(rows):,}.</p>" if len(rows) > most else ""
    return (
        f'<table class="cr-table"><caption>{escape(caption)}</caption><thead><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table>{left}"
    )


def _row(columns: Sequence[TableColumn], row: Sequence[TableCell | str]) -> str:
    return "".join(_cell(column, value) for column, value in zip(columns, row, strict=True))


def _cell(column: TableColumn, value: TableCell | str) -> str:
    if isinstance(value, str):
        return f"<td{_side(column)}>{escape(value)}</td>"
    colour = escape(value.colour, quote=True)
    swatch = f'<span class="cr-swatch" style="background:{colour}" aria-hidden="true"></span>' if colour else ""
    note = f'<span class="cr-note">{escape(value.note)}</span>' if value.note else ""
    mark = f' class="cr-{escape(value.mark, quote=True)}"' if value.mark else ""
    return f"<td{_side(column)}>{swatch}<span{mark}>{escape(value.text)}</span>{note}{_bar(value, colour)}</td>"


def _bar(value: TableCell, colour: str) -> str:
    if value.share is None:
        return ""
    width = f"{100 * min(max(value.share, 0.0), 1.0):.1f}%"
    style = f"width:{width}" + (f";background:{colour}" if colour else "")
    return f'<span class="cr-bar" aria-hidden="true"><span style="{style}"></span></span>'


def _side(column: TableColumn) -> str:
    return ' class="cr-number"' if column.numeric else ""
