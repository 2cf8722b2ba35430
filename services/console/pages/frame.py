"""The frame of the pages: title, navigation, and the page of each path."""

from collections.abc import Awaitable, Callable
from functools import partial

from nicegui import ui

from services.console.context import ConsoleContext, Session
from services.console.pages.compare import compare_page
from services.console.pages.health import health_page
from services.console.pages.live import live_page
from services.console.pages.rank import rank_page
from services.console.pages.style import CSS
from services.console.pages.transfer import transfer_page

PAGES: dict[str, tuple[str, Callable[[Session], Awaitable[None]]]] = {
    "/": ("Rank", rank_page),
    "/transfer": ("Transfer", transfer_page),
    "/live": ("Live", live_page),
    "/compare": ("Compare", compare_page),
    "/health": ("Health", health_page),
}
"""Heading and builder by path."""


def build_tab(context: ConsoleContext) -> None:
    """Build a browser tab; each has forms of its own."""
    session = Session(context)
    ui.add_css(CSS)
    ui.colors(primary="#0b5394")
    with ui.header(elevated=False).classes("cr-header items-center gap-x-6 gap-y-0"):
        ui.label("CrossRec console").classes("cr-brand")
        with ui.element("nav").classes("cr-nav").props('aria-label="Pages"'):
            links = {path: ui.link(title, path) for path, (title, _) in PAGES.items()}
    router = ui.context.client.sub_pages_router

    def mark(path: str) -> None:
        for own, link in links.items():
            link.props(remove="aria-current")
            if own == path:
                link.props("aria-current=page")

    mark(router.current_path)
    router.on_path_changed(mark)
    ui.sub_pages({path: partial(page, session) for path, (_, page) in PAGES.items()}).classes("w-full")
