"""The proxy forwards bytes, closes connections when it is cut, and heals."""

import socket
import threading
from collections.abc import Iterator

import pytest

from tests.chaos.proxy import Proxy


@pytest.fixture
def echo() -> Iterator[int]:
    """The port of a server that echoes its input."""
    listener = socket.create_server(("127.0.0.1", 0))

    def answer(connection: socket.socket) -> None:
        with connection:
            try:
                while data := connection.recv(1024):
                    connection.sendall(data)
            except OSError:
                return

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=answer, args=(connection,)).start()

    server = threading.Thread(target=serve)
    server.start()
    yield listener.getsockname()[1]
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    server.join()


def test_bytes_are_forwarded_except_while_the_proxy_is_cut(echo: int) -> None:
    """A cut closes connections and rejects new ones."""
    with Proxy(echo) as proxy:
        with socket.create_connection(("127.0.0.1", proxy.port), timeout=10) as client:
            client.sendall(b"tea")
            assert b"tea" == client.recv(16)
            proxy.cut()
            assert _is_ended(client)
        with socket.create_connection(("127.0.0.1", proxy.port), timeout=10) as client:
            assert _is_ended(client)
        proxy.heal()
        with socket.create_connection(("127.0.0.1", proxy.port), timeout=10) as client:
            client.sendall(b"milk")
            assert b"milk" == client.recv(16)


def _is_ended(client: socket.socket) -> bool:
    try:
        return client.recv(16) == b""
    except ConnectionResetError:
        return True
