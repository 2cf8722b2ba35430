"""Connections of hostile clients in plain HTTP/2: calls without a message, and calls that take no answer.

gRPC's own clients always take what they get. Knows frames; knows no servers.
"""

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RESET, SETTINGS, PING = 0, 1, 3, 4, 6
ACK, END_STREAM, END_HEADERS = 1, 1, 4
INITIAL_WINDOW = 4
"""Number of the setting SETTINGS_INITIAL_WINDOW_SIZE."""

RANK = "/crossrec.ranking.v1.RankingService/Rank"
PUBLISH = "/crossrec.events.v1.EventService/Publish"
STREAM = "/crossrec.events.v1.EventService/PublishStream"
CHECK = "/grpc.health.v1.Health/Check"
WATCH = "/grpc.health.v1.Health/Watch"
REFLECTION = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"


def frame(kind: int, flags: int, stream: int, content: bytes) -> bytes:
    """A frame of HTTP/2."""
    return len(content).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + content


def message(content: bytes) -> bytes:
    """A gRPC message."""
    return b"\x00" + len(content).to_bytes(4, "big") + content


class HostileConnection:
    """A connection on which calls are begun; a thread counts how many the server has ended.

    Args:
        address: host:port.
        window: bytes that the server may send on a call.
        metadata: of every call.
    """

    def __init__(self, address: str, window: int = 65_535, metadata: tuple[tuple[str, str], ...] = ()) -> None:
        host, _, port = address.rpartition(":")
        self._socket = socket.create_connection((host, int(port)), timeout=300)
        self._metadata, self._stream = metadata, 1
        self._changed = threading.Condition()
        self.begun = 0
        self.ended = set[int]()  # streams
        self._socket.sendall(PREFACE + frame(SETTINGS, 0, 0, struct.pack(">HI", INITIAL_WINDOW, window)))
        threading.Thread(target=self._read, daemon=True).start()

    def begin(self, path: str, body: bytes = b"", calls: int = 1) -> None:
        """Begin calls with the bytes of `body`, which stay open."""
        sent = b""
        for _ in range(calls):
            sent += frame(HEADERS, END_HEADERS, self._stream, self._headers(path))
            if body:
                sent += frame(DATA, 0, self._stream, body)
            self._stream += 2
        self.begun += calls
        self._socket.sendall(sent)

    def wait_ended(self, calls: int) -> None:
        """Wait until the server has ended so many calls."""
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.ended) >= calls, 120), self.ended

    def close(self) -> None:
        """Close the connection."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def _headers(self, path: str) -> bytes:
        fields = (
            (":method", "POST"),
            (":scheme", "http"),
            (":path", path),
            (":authority", "here"),
            ("te", "trailers"),
            ("content-type", "application/grpc"),
            *self._metadata,
        )
        return b"".join(_literal(name.encode(), value.encode()) for name, value in fields)

    def _read(self) -> None:
        """Count ends of calls: trailers, or resets."""
        with suppress(OSError), self._socket.makefile("rb") as incoming:
            while head := incoming.read(9):
                length, kind, flags = int.from_bytes(head[:3], "big"), head[3], head[4]
                content = incoming.read(length)
                if kind == PING and not flags & ACK:
                    self._socket.sendall(frame(PING, ACK, 0, content))
                if kind == RESET or (kind in {HEADERS, DATA} and flags & END_STREAM):
                    with self._changed:
                        self.ended.add(int.from_bytes(head[5:], "big"))
                        self._changed.notify_all()


def _literal(name: bytes, value: bytes) -> bytes:
    length = bytes([len(value)]) if len(value) < 127 else b"\x7f" + _rest(len(value) - 127)
    return b"\x00" + bytes([len(name)]) + name + length + value


def _rest(number: int) -> bytes:
    low = b""
    while number >= 128:
        low += bytes([number % 128 + 128])
        number //= 128
    return low + bytes([number])


@contextmanager
def hostile(
    address: str, connections: int, window: int = 65_535, metadata: tuple[tuple[str, str], ...] = ()
) -> Iterator[list[HostileConnection]]:
    """Connections, closed at the end."""
    made = [HostileConnection(address, window, metadata) for _ in range(connections)]
    try:
        yield made
    finally:
        for each in made:
            each.close()
