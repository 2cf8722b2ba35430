"""The process that serves the pages: everything wired by hand, serves until told to stop."""

import time
from dataclasses import dataclass
from pathlib import Path

from nicegui import app, ui
from starlette.middleware.trustedhost import TrustedHostMiddleware

from services.console.catalogue import Catalogue
from services.console.gate import LOOPBACK_NAMES, Gate, check_listen, is_loopback
from services.console.pages.frame import build
from services.console.rivals import open_rivals
from services.console.servers import Servers
from services.console.system import System
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
"""Seconds that open pages get to leave when the console stops."""


@dataclass(frozen=True)
class Options:
    """What the command line says.

    Args:
        host: address to listen on.
        port: of the pages.
        token: that opens them; "": none.
        ranking: how to reach the ranking server.
        gateway: how to reach the event gateway.
        publish: whether events may be published.
        skew: report to show.
    """

    host: str
    port: int
    token: str
    ranking: Target
    gateway: Target
    publish: bool
    skew: Path | None


def build_system(settings: Settings, options: Options) -> System:
    """Everything that pages look at; nothing is asked yet."""
    catalogue = Catalogue(open_rows(settings), build_schema(settings.features))
    servers = Servers(options.ranking, options.gateway)

    def groups() -> list[GroupStatus]:
        return read_groups(settings, time.time())

    return System(settings, servers, catalogue, open_rivals(settings), groups, options.publish, options.skew)


def run_console(settings: Settings, options: Options) -> None:
    """Serve the pages until SIGTERM or SIGINT. Raises ConfigurationError for an address that is open to others."""
    check_listen(options.host, options.token)
    system = build_system(settings, options)
    app.on_shutdown(system.servers.close)
    guard(options.host, options.token)
    ui.run(
        lambda: build(system),
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


def guard(host: str, token: str) -> None:
    """Put before the pages what they need where they listen."""
    if is_loopback(host):
        app.add_middleware(TrustedHostMiddleware, allowed_hosts=LOOPBACK_NAMES)
    if token:
        app.add_middleware(Gate, token=token)
