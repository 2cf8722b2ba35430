"""Serves the console over a running system in one process, for a browser: `-m tests.outside.console_process PORT`.

What is published is folded at once. Ends when its standard input does.
"""

import sys
import tempfile
import threading
from pathlib import Path

from nicegui import app, ui

from services.console.main import guard
from services.console.pages.frame import build
from tests.contract.console_system import running_chain, running_system


def main() -> None:
    """Serve until standard input is at its end."""
    port = int(sys.argv[1])
    threading.Thread(target=_end_with_input, daemon=True).start()
    with (
        running_chain() as chain,
        tempfile.TemporaryDirectory() as directory,
        running_system(chain, Path(directory)) as system,
    ):
        guard("127.0.0.1", "")
        ui.run(
            lambda: build(system),
            host="127.0.0.1",
            port=port,
            title="CrossRec console",
            language="en-GB",
            binding_refresh_interval=None,
            reload=False,
            show=False,
            show_welcome_message=False,
        )


def _end_with_input() -> None:
    sys.stdin.read()
    app.shutdown()


if __name__ == "__main__":
    main()
