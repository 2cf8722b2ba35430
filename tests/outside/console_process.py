"""Serves the console over a running system in one process, for a browser: `-m tests.outside.console_process PORT`.

Published events are folded at once. Prints READY on standard output just before it listens; stops at SIGTERM.
"""

import sys
import tempfile
from pathlib import Path

from nicegui import app, ui

from services.console.main import DRAIN_S, add_access_control
from services.console.pages.frame import build_tab
from tests.contract.console_system import running_chain, running_system

READY = "ready"


def main() -> None:
    """Serve until SIGTERM."""
    app.on_startup(_print_ready)
    with (
        running_chain() as chain,
        tempfile.TemporaryDirectory() as directory,
        running_system(chain, Path(directory)) as system,
    ):
        add_access_control("127.0.0.1", "")
        ui.run(
            lambda: build_tab(system),
            host="127.0.0.1",
            port=int(sys.argv[1]),
            title="CrossRec console",
            language="en-GB",
            binding_refresh_interval=None,
            reload=False,
            show=False,
            show_welcome_message=False,
            timeout_graceful_shutdown=DRAIN_S,
        )


def _print_ready() -> None:
    sys.stdout.write(f"{READY}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
