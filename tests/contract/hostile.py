"""Connections of hostile clients in plain HTTP/2: calls without a message, and calls that take no answer."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from tests.http2 import DEFAULT_WINDOW, HEAD_BYTES, acknowledgement, call, ended_stream, opening

RANK = "/crossrec.ranking.v1.RankingService/Rank"
PUBLISH = "/crossrec.events.v1.EventService/Publish"
STREAM = "/crossrec.events.v1.EventService/PublishStream"
CHECK = "/grpc.health.v1.Health/Check"
WATCH = "/grpc.health.v1.Health/Watch"
REFLECTION = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"


class HostileConnection:
    """A connection on which calls are begun; a thread notes which the server has ended.

    Args:
        address: host:port.
        window: bytes that the server may send on a call.
        metadata: of every call.
    """

    def __init__(self, address: str, window: int, metadata: tuple[tuple[str, str], ...]) -> None:
        host, _, port = address.rpartition(":")
        self._socket = socket.create_connection((host, int(port)), timeout=600)
        self._metadata, self._stream = metadata, 1
        self._changed, self._sending = threading.Condition(), threading.Lock()
        self.ended = set[int]()  # streams
        self._socket.sendall(opening(window))
        threading.Thread(target=self._read, daemon=True).start()

    def begin(self, path: str, body: bytes = b"", calls: int = 1) -> None:
        """Begin calls with the bytes of `body`, which stay open."""
        streams = range(self._stream, self._stream + 2 * calls, 2)
        self._stream += 2 * calls
        self._send(b"".join(call(stream, path, body, self._metadata) for stream in streams))

    def wait_ended(self, calls: int) -> None:
        """Wait until the server has ended so many calls."""
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.ended) >= calls, 120), self.ended

    def close(self) -> None:
        """Close the connection."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def _send(self, frames: bytes) -> None:
        with self._sending:
            self._socket.sendall(frames)

    def _read(self) -> None:
        with suppress(OSError), self._socket.makefile("rb") as incoming:
            while head := incoming.read(HEAD_BYTES):
                content = incoming.read(int.from_bytes(head[:3], "big"))
                if due := acknowledgement(head + content):
                    self._send(due)
                if (stream := ended_stream(head)) is not None:
                    with self._changed:
                        self.ended.add(stream)
                        self._changed.notify_all()


@contextmanager
def hostile(
    address: str, connections: int, window: int = DEFAULT_WINDOW, metadata: tuple[tuple[str, str], ...] = ()
) -> Iterator[list[HostileConnection]]:
    """Connections, closed at the end."""
    made = [HostileConnection(address, window, metadata) for _ in range(connections)]
    try:
        yield made
    finally:
        for each in made:
            each.close()
