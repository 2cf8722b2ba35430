"""The console process: wires everything and serves the pages until a signal."""

import time
from dataclasses import dataclass
from pathlib import Path

from nicegui import app, ui
from starlette.middleware.trustedhost import TrustedHostMiddleware

from services.console.browser_protection import BrowserProtectionMiddleware
from services.console.catalogue import Catalogue
from services.console.context import ConsoleContext
from services.console.offline_ranker import open_offline_ranker
from services.console.pages.frame import build_tab
from services.console.servers import ServerConnections
from services.console.token_auth import LOOPBACK_NAMES, TokenAuthMiddleware, check_listen, is_loopback
from services.consumers.status import GroupStatus, read_groups
from services.features.schema import build_schema
from services.load.target import Target
from services.settings.load import Settings
from services.store.connect import open_rows

ICON = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16"><rect width="16" height="16" rx="3" fill="#0b5394"/>'
    '<path d="M3 4h10M3 8h7M3 12h4" stroke="#fff" stroke-width="2"/></svg>'
)

DRAIN_S = 2
"""Seconds that open pages get to close when the console stops."""


@dataclass(frozen=True)
class ConsoleOptions:
    """Options of the command line.

    Args:
        host: address to listen on.
        port: of the pages.
        token: required to open the pages; "": none.
        ranking: the ranking server.
        gateway: the event gateway.
        publish: whether events may be published.
        skew: skew report to show; None: none.
        origins: of pages that may use it, besides its own.
    """

    host: str
    port: int
    token: str
    ranking: Target
    gateway: Target
    publish: bool
    skew: Path | None
    origins: frozenset[str] = frozenset()


def build_context(settings: Settings, options: ConsoleOptions) -> ConsoleContext:
    """Wire everything that pages read from; nothing is read yet."""
    catalogue = Catalogue(open_rows(settings), build_schema(settings.features))
    servers = ServerConnections(options.ranking, options.gateway)

    def groups() -> list[GroupStatus]:
        return read_groups(settings, time.time())

    return ConsoleContext(
        settings, servers, catalogue, open_offline_ranker(settings), groups, options.publish, options.skew
    )


def run_console(settings: Settings, options: ConsoleOptions) -> None:
    """Serve the pages until SIGTERM or SIGINT. ConfigurationError if other machines need no token to reach them."""
    check_listen(options.host, options.token)
    context = build_context(settings, options)
    app.on_shutdown(context.servers.close)
    add_access_control(options.host, options.token, options.origins)
    ui.run(
        lambda: build_tab(context),
        host=options.host,
        port=options.port,
        title="CrossRec console",
        language="en-GB",
        favicon=ICON,
        binding_refresh_interval=None,
        reload=False,
        show=False,
        show_welcome_message=False,
        timeout_graceful_shutdown=DRAIN_S,
    )


def add_access_control(host: str, token: str, origins: frozenset[str] = frozenset()) -> None:
    """Add the middleware that the address needs: host check on loopback, token authentication, own origins alone."""
    if is_loopback(host):
        app.add_middleware(TrustedHostMiddleware, allowed_hosts=LOOPBACK_NAMES)
    if token:
        app.add_middleware(TokenAuthMiddleware, token=token)
    app.add_middleware(BrowserProtectionMiddleware, origins=origins)  # the outermost: its headers are on every answer
