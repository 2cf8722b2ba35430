"""What pages are made of: cards, messages, facts, tables, and places that fill while something is asked."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from html import escape
from typing import Literal, TypeVar

from nicegui import ui

from services.console.tables import Column, Rows, table_html
from services.errors import CrossRecError

T = TypeVar("T")


@contextmanager
def card(title: str) -> Iterator[ui.column]:
    """A titled box; what is made inside belongs to it."""
    with ui.column().classes("cr-card") as box:
        html(f"<h2>{escape(title)}</h2>")
        yield box


def html(content: str) -> ui.html:
    """HTML in which everything that came from outside is escaped already."""
    return ui.html(content, sanitize=False).classes("cr-fill")


def lead(text: str) -> None:
    """What a page or a box is about, in small print."""
    html(f'<p class="cr-lead">{escape(text)}</p>')


def message(kind: Literal["error", "warning", "info"], text: str) -> None:
    """Something to take notice of."""
    role = "alert" if kind == "error" else "status"
    html(f'<div class="cr-message cr-{kind}" role="{role}">{escape(text)}</div>')


def facts(pairs: Sequence[tuple[str, str]]) -> None:
    """Labels and values, side by side as far as there is room."""
    body = "".join(f"<div><dt>{escape(label)}</dt><dd>{escape(value)}</dd></div>" for label, value in pairs)
    html(f'<dl class="cr-facts">{body}</dl>')


def table(caption: str, columns: Sequence[Column], rows: Rows) -> None:
    """A table."""
    html(table_html(caption, columns, rows))


def chart(options: dict[str, object], height_px: int) -> None:
    """A plot over the whole width, as text and shapes that a screen reader finds."""
    ui.echart(options, renderer="svg").classes("w-full").style(f"height: {height_px}px")


def place() -> ui.column:
    """Where something appears later; said to screen readers when it does."""
    return ui.column().classes("cr-fill gap-4").props('aria-live="polite"')


async def fill(where: ui.column, doing: str, work: Callable[[], T], show: Callable[[T], None]) -> None:
    """Do blocking work beside the event loop and show what it gives; meanwhile, and if it fails, say so there."""
    where.clear()
    with where, ui.row().classes("items-center gap-3"):
        ui.spinner(size="24px")
        ui.label(doing)
    try:
        result = await asyncio.to_thread(work)
    except CrossRecError as error:
        _replace(where, lambda text=str(error): message("error", text))  # type: ignore[misc]
    except Exception:
        _replace(where, lambda: message("error", "Something unexpected went wrong; the console's log says what."))
        raise
    else:
        _replace(where, lambda: show(result))


def on_press(button: ui.button, where: ui.column, doing: str, work: Callable[[], T], show: Callable[[T], None]) -> None:
    """Let a button `fill` a place, one press at a time."""

    async def press() -> None:
        button.disable()
        try:
            await fill(where, doing, work, show)
        finally:
            button.enable()

    button.on_click(press)


def _replace(where: ui.column, show: Callable[[], None]) -> None:
    if where.is_deleted:  # the page was left meanwhile
        return
    where.clear()
    with where:
        show()
