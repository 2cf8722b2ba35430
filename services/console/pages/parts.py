"""Components of pages: cards, messages, facts, tables, and slots whose content is loaded in the background."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from html import escape
from typing import Literal, TypeVar

from nicegui import ui

from services.console.tables import Rows, TableColumn, table_html
from services.errors import CrossRecError

T = TypeVar("T")


@contextmanager
def card(title: str) -> Iterator[ui.column]:
    """A titled box; elements that are made inside the block belong to it."""
    with ui.column().classes("cr-card") as box:
        html(f"<h2>{escape(title)}</h2>")
        yield box


def html(content: str) -> ui.html:
    """An HTML element; the content must be escaped already."""
    return ui.html(content, sanitize=False).classes("cr-fill")


def lead(text: str) -> None:
    """An introduction, in small print."""
    html(f'<p class="cr-lead">{escape(text)}</p>')


def message(kind: Literal["error", "warning", "info"], text: str) -> None:
    """An error, a warning or an information."""
    role = "alert" if kind == "error" else "status"
    html(f'<div class="cr-message cr-{kind}" role="{role}">{escape(text)}</div>')


def facts(pairs: Sequence[tuple[str, str]]) -> None:
    """Labels and values, side by side if there is room."""
    body = "".join(f"<div><dt>{escape(label)}</dt><dd>{escape(value)}</dd></div>" for label, value in pairs)
    html(f'<dl class="cr-facts">{body}</dl>')


def table(caption: str, columns: Sequence[TableColumn], rows: Rows) -> None:
    """A table."""
    html(table_html(caption, columns, rows))


def chart(options: dict[str, object], height_px: int) -> None:
    """A plot over the whole width, as SVG that a screen reader can read."""
    ui.echart(options, renderer="svg").classes("w-full").style(f"height: {height_px}px")


def slot() -> ui.column:
    """A container for content that comes later; screen readers announce it."""
    return ui.column().classes("cr-fill gap-4").props('aria-live="polite"')


async def load_into(where: ui.column, doing: str, work: Callable[[], T], show: Callable[[T], None]) -> None:
    """Do blocking work beside the event loop and show its result in the slot; meanwhile a spinner, or the error."""
    where.clear()
    with where, ui.row().classes("items-center gap-3"):
        ui.spinner(size="24px")
        ui.label(doing)
    try:
        result = await asyncio.to_thread(work)
    except CrossRecError as error:
        _replace(where, lambda text=str(error): message("error", text))  # type: ignore[misc]
    except Exception:
        _replace(where, lambda: message("error", "An unexpected error occurred; see the console's log."))
        raise
    else:
        _replace(where, lambda: show(result))


def load_on_click(
    button: ui.button, where: ui.column, doing: str, work: Callable[[], T], show: Callable[[T], None]
) -> None:
    """Let a button fill a slot, one press at a time."""
    button.on_click(lambda: _load(button, where, doing, work, show))


def load_at_once(
    button: ui.button, where: ui.column, doing: str, work: Callable[[], T], show: Callable[[T], None]
) -> None:
    """Fill a button's slot as soon as the page is open; it can be pressed afterwards."""
    ui.timer(0, lambda: _load(button, where, doing, work, show), once=True)


async def _load(
    button: ui.button, where: ui.column, doing: str, work: Callable[[], T], show: Callable[[T], None]
) -> None:
    button.disable()
    try:
        await load_into(where, doing, work, show)
    finally:
        button.enable()


def _replace(where: ui.column, show: Callable[[], None]) -> None:
    if where.is_deleted:  # the page was left
        return
    where.clear()
    with where:
        show()
