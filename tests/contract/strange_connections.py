"""Connections of no valid client, seeded: noise, other protocols, broken HTTP/2, and early disconnects."""

import random
import socket
import struct
from collections import deque
from collections.abc import Callable
from contextlib import suppress

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
SETTINGS = bytes(3) + b"\x04" + bytes(5)
RANK = "/crossrec.ranking.v1.RankingService/Rank"
OPEN_AT_ONCE = 40

RESET = struct.pack("ii", 1, 0)
"""SO_LINGER of zero seconds: closing resets the connection."""


def connect_strangely(address: str, seeds: range) -> None:
    """Make the connections of these seeds; each sends half at once and the rest 40 connections later."""
    host, _, port = address.rpartition(":")
    under_way = deque[tuple[socket.socket, bytes, bool]]()
    for seed in seeds:
        chance = random.Random(seed)
        data = chance.choice(KINDS)(chance)
        half = chance.choice([0, len(data) // 2, len(data)])
        connection = socket.create_connection((host, int(port)), timeout=300)
        _send(connection, data[:half])
        under_way.append((connection, data[half:], chance.random() < 0.3))
        if len(under_way) == OPEN_AT_ONCE:
            _finish(*under_way.popleft())
    for each in under_way:
        _finish(*each)


def _finish(connection: socket.socket, rest: bytes, reset: bool) -> None:
    with connection:
        _send(connection, rest)
        if reset:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)


def _send(connection: socket.socket, data: bytes) -> None:
    with suppress(ConnectionError):  # the server has closed the connection
        connection.sendall(data)


def _nothing(chance: random.Random) -> bytes:
    del chance
    return b""


def _noise(chance: random.Random) -> bytes:
    return chance.randbytes(chance.choice([1, 9, 24, 500, 20_000]))


def _http_1(chance: random.Random) -> bytes:
    line = chance.choice(
        ["GET / HTTP/1.1", "POST /crossrec.ranking.v1.RankingService/Rank HTTP/1.1", "GET /", "HEAD * HTTP/9.9"]
    )
    headers = "Host: here\r\nUpgrade: h2c\r\n" + f"X: {'y' * chance.choice([1, 10_000])}\r\n"
    return f"{line}\r\n{headers}\r\n".encode()


def _tls(chance: random.Random) -> bytes:
    """The beginning of a ClientHello."""
    body = b"\x03\x03" + chance.randbytes(32) + b"\x00" + b"\x00\x02\x13\x01" + b"\x01\x00"
    hello = b"\x01" + len(body).to_bytes(3, "big") + body
    return b"\x16\x03\x01" + len(hello).to_bytes(2, "big") + hello


def _half_preface(chance: random.Random) -> bytes:
    return PREFACE[: chance.randrange(len(PREFACE))]


def _frames(chance: random.Random) -> bytes:
    """A client's preface, then frames of any type, flags and stream, with lengths that may be wrong."""
    return PREFACE + SETTINGS + b"".join(_frame(chance) for _ in range(chance.choice([1, 3, 20])))


def _frame(chance: random.Random) -> bytes:
    content = chance.randbytes(chance.choice([0, 4, 5, 8, 100, 5000]))
    size = chance.choice([len(content)] * 3 + [0, 2**14 + 1, 2**24 - 1])
    stream = chance.choice([0, 1, 2, 3, 2**31 - 1, 2**32 - 1])
    return (
        size.to_bytes(3, "big")
        + bytes([chance.randrange(12), chance.randrange(256)])
        + stream.to_bytes(4, "big")
        + content
    )


def _many_streams(chance: random.Random) -> bytes:
    """Streams that are opened and reset immediately."""
    reset = b"".join(
        _of(1, 4, stream, _HEADERS) + _of(3, 0, stream, (8).to_bytes(4, "big"))
        for stream in range(1, 2 * chance.choice([1, 50, 200]), 2)
    )
    return PREFACE + SETTINGS + reset


def _half_call(chance: random.Random) -> bytes:
    """A call whose message is missing or partial, or claims to be compressed or gigabytes long."""
    head = chance.choice(
        [b"", b"\x00", b"\x00\x00\x00\x00\x05ab", b"\x01\x00\x00\x00\x02ab", b"\x00\xff\xff\xff\xffab"]
    )
    return PREFACE + SETTINGS + _of(1, 4, 1, _HEADERS) + _of(0, chance.choice([0, 1]), 1, head)


def _of(kind: int, flags: int, stream: int, content: bytes) -> bytes:
    return len(content).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + content


def _literal(name: bytes, value: bytes) -> bytes:
    return b"\x00" + bytes([len(name)]) + name + bytes([len(value)]) + value


_HEADERS = b"".join(
    _literal(name, value)
    for name, value in (
        (b":method", b"POST"),
        (b":scheme", b"http"),
        (b":path", RANK.encode()),
        (b":authority", b"here"),
        (b"te", b"trailers"),
        (b"content-type", b"application/grpc"),
    )
)
"""Of a call to Rank, as HPACK literals."""

KINDS: list[Callable[[random.Random], bytes]] = [
    *(_nothing, _noise, _http_1, _tls, _half_preface),
    *(_frames, _frames, _many_streams, _half_call),
]
