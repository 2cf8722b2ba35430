"""Hostile clients in a process of their own: they hold calls open, and open those again that the server ends.

`python -m tests.bench.hostile_clients ATTACK`, with an `Attack` as JSON: prints a line once all calls have been begun,
another once the server has dealt with them, and a JSON line with counts when its standard input ends. One thread,
plain HTTP/2.
"""

import json
import random
import selectors
import socket
import sys
import time
from dataclasses import asdict, dataclass, field
from typing import Any

from tests.http2 import DEFAULT_WINDOW, HEAD_BYTES, acknowledgement, call, ended_stream, message, opening

WATCH = "/grpc.health.v1.Health/Watch"
READ_BYTES = 1 << 16
POLL_S = 0.05
SETTLING_S = 2.0
"""Seconds in which no more calls end than are opened again: then the server has dealt with those begun at first."""


@dataclass(frozen=True)
class Attack:
    """What the clients hold.

    Args:
        address: host:port of the server.
        held: path of the calls whose message never comes.
        connections: with such calls.
        calls: of them on each connection.
        watches: watches of health, 100 to a connection.
        streams: path of streams whose answers are not taken; empty: none.
        stream_count: number of these, 10 to a connection.
        stream_body: what they send, hexadecimal.
        reopened_per_s: calls that are opened again per second, of those that the server has ended.
        token: sent with every call; empty: none.
    """

    address: str
    held: str
    connections: int
    calls: int
    watches: int = 0
    streams: str = ""
    stream_count: int = 0
    stream_body: str = ""
    reopened_per_s: float = 200.0
    token: str = ""

    def as_json(self) -> str:
        """The argument of the process."""
        return json.dumps(asdict(self))


@dataclass(eq=False)
class _Connection:
    """A connection whose calls are all of one kind."""

    socket: socket.socket
    path: str
    body: bytes
    unread: bytearray = field(default_factory=bytearray)
    unsent: bytearray = field(default_factory=bytearray)
    open: set[int] = field(default_factory=set)
    next_stream: int = 1


class HostileClients:
    """All connections of an attack.

    Args:
        attack: what they hold.
    """

    def __init__(self, attack: Attack) -> None:
        self._attack, self._selector = attack, selectors.DefaultSelector()
        self._metadata = (("authorization", f"Bearer {attack.token}"),) if attack.token else ()
        self._ended, self._draw = list[_Connection](), random.Random(0)
        self._allowed, self._last_s = 0.0, time.monotonic()
        self.counts = {"begun": 0, "ended": 0, "reopened": 0, "closed_connections": 0}

    def begin(self) -> None:
        """Open all connections and begin all calls."""
        attack = self._attack
        for _ in range(attack.connections):
            self._open(attack.held, b"", attack.calls, DEFAULT_WINDOW)
        for first in range(0, attack.watches, 100):
            self._open(WATCH, message(b""), min(100, attack.watches - first), 0)
        for first in range(0, attack.stream_count, 10):
            body = message(bytes.fromhex(attack.stream_body))
            self._open(attack.streams, body, min(10, attack.stream_count - first), 0)
        self._last_s = time.monotonic()

    def hold(self) -> None:
        """Hold the calls until the standard input ends."""
        self._selector.register(sys.stdin, selectors.EVENT_READ)
        settled, ended, next_s = False, 0, time.monotonic() + SETTLING_S
        while True:
            if not settled and time.monotonic() >= next_s:
                settled = self.counts["ended"] - ended <= 2 * SETTLING_S * self._attack.reopened_per_s
                ended, next_s = self.counts["ended"], time.monotonic() + SETTLING_S
                if settled:
                    print("settled", flush=True)  # noqa: T201 - for the benchmark
            for key, _ in self._selector.select(POLL_S):
                if key.fileobj is sys.stdin:
                    return
                self._read(key.data)
            self._reopen()

    def held(self) -> int:
        """Calls that are open now."""
        return sum(len(key.data.open) for key in self._selector.get_map().values() if key.data)

    def _open(self, path: str, body: bytes, calls: int, window: int) -> None:
        host, _, port = self._attack.address.rpartition(":")
        made = _Connection(socket.create_connection((host, int(port)), timeout=60), path, body)
        self._selector.register(made.socket, selectors.EVENT_READ, made)
        self._send(made, opening(window) + b"".join(self._begin(made) for _ in range(calls)))

    def _begin(self, connection: _Connection) -> bytes:
        stream, connection.next_stream = connection.next_stream, connection.next_stream + 2
        connection.open.add(stream)
        self.counts["begun"] += 1
        return call(stream, connection.path, connection.body, self._metadata)

    def _send(self, connection: _Connection, data: bytes) -> None:
        try:
            connection.socket.sendall(data)
        except OSError:
            self._close(connection)

    def _close(self, connection: _Connection) -> None:
        self._selector.unregister(connection.socket)
        connection.socket.close()
        connection.open.clear()
        self.counts["closed_connections"] += 1

    def _read(self, connection: _Connection) -> None:
        try:
            data = connection.socket.recv(READ_BYTES)
        except OSError:
            data = b""
        if not data:
            self._close(connection)
            return
        unread = connection.unread
        unread += data
        while len(unread) >= HEAD_BYTES:
            end = HEAD_BYTES + int.from_bytes(unread[:3], "big")
            if len(unread) < end:
                return
            self._handle(connection, bytes(unread[:end]))
            del unread[:end]

    def _handle(self, connection: _Connection, found: bytes) -> None:
        if due := acknowledgement(found):
            self._send(connection, due)
        stream = ended_stream(found)
        if stream in connection.open:
            connection.open.remove(stream)
            self.counts["ended"] += 1
            self._ended.append(connection)

    def _reopen(self) -> None:
        now_s, rate = time.monotonic(), self._attack.reopened_per_s
        self._allowed, self._last_s = min(rate, self._allowed + (now_s - self._last_s) * rate), now_s
        while self._allowed >= 1 and self._ended:
            self._allowed -= 1
            place = self._draw.randrange(len(self._ended))
            self._ended[place], self._ended[-1] = self._ended[-1], self._ended[place]
            connection = self._ended.pop()
            if connection.socket.fileno() >= 0:
                self._send(connection, self._begin(connection))
            self.counts["reopened"] += 1


def main(attack: str) -> None:
    """Attack until the standard input ends."""
    found: dict[str, Any] = json.loads(attack)
    clients = HostileClients(Attack(**found))
    clients.begin()
    print("begun", flush=True)  # noqa: T201 - for the benchmark
    clients.hold()
    print(json.dumps({**clients.counts, "held": clients.held()}), flush=True)  # noqa: T201


if __name__ == "__main__":
    main(sys.argv[1])
