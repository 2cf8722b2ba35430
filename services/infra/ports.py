"""Loopback ports for the embedded servers."""

import secrets
import socket
from collections.abc import Collection

from services.errors import InfraFailed
from services.infra.process import wait_until

# Below the ephemeral ports of Linux (from 32768) and macOS (from 49152), so that no outgoing connection takes a
# remembered port while the server is down.
PORT_RANGE = range(20_000, 30_000)
_ATTEMPTS = 200
_LINGER_S = 3.0


def is_free(port: int) -> bool:
    """Whether a server could listen on 127.0.0.1:port now."""
    with socket.socket() as probe:
        # As servers do: connections of the last run in TIME_WAIT do not count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def choose_port(wanted: int, remembered: int | None, taken: Collection[int]) -> int:
    """The wanted port; if that is 0, the remembered one while still free; else a free one not in `taken`.

    Raises:
        InfraFailed: The wanted port is in use, or no port is free.
    """
    # A killed server's threads hold its sockets for a moment after the process counts as dead.
    if wanted:
        if not wait_until(lambda: is_free(wanted), _LINGER_S):
            raise InfraFailed(f"port {wanted} is in use by another program")
        return wanted
    if remembered and remembered not in taken and wait_until(lambda: is_free(remembered), _LINGER_S):
        return remembered
    for _ in range(_ATTEMPTS):
        port = secrets.choice(PORT_RANGE)
        if port not in taken and is_free(port):
            return port
    raise InfraFailed(f"no free port found between {PORT_RANGE.start} and {PORT_RANGE.stop - 1}")
