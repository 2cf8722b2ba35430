"""Frames of HTTP/2 for clients that gRPC's own cannot imitate: they hold messages back, and take no answers."""

import struct

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RESET, SETTINGS, PING = 0, 1, 3, 4, 6
ACK, END_STREAM, END_HEADERS = 1, 1, 4
HEAD_BYTES = 9
INITIAL_WINDOW = 4
"""Number of the setting SETTINGS_INITIAL_WINDOW_SIZE."""

DEFAULT_WINDOW = 65_535


def opening(window: int = DEFAULT_WINDOW) -> bytes:
    """What a client sends first; the server may send `window` bytes on a call."""
    return PREFACE + frame(SETTINGS, 0, 0, struct.pack(">HI", INITIAL_WINDOW, window))


def frame(kind: int, flags: int, stream: int, content: bytes) -> bytes:
    """A frame."""
    return len(content).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + content


def message(content: bytes) -> bytes:
    """A message of gRPC, without compression."""
    return b"\x00" + len(content).to_bytes(4, "big") + content


def call(stream: int, path: str, body: bytes = b"", metadata: tuple[tuple[str, str], ...] = ()) -> bytes:
    """The frames that begin a call and send `body`, and leave it open."""
    fields = (
        (":method", "POST"),
        (":scheme", "http"),
        (":path", path),
        (":authority", "here"),
        ("te", "trailers"),
        ("content-type", "application/grpc"),
        *metadata,
    )
    headers = b"".join(_literal(name.encode(), value.encode()) for name, value in fields)
    begun = frame(HEADERS, END_HEADERS, stream, headers)
    return begun + frame(DATA, 0, stream, body) if body else begun


def ended_stream(head: bytes) -> int | None:
    """The stream that a frame with this head ends; None: it ends none."""
    kind, flags = head[3], head[4]
    ends = kind == RESET or (kind in {HEADERS, DATA} and flags & END_STREAM)
    return int.from_bytes(head[5:HEAD_BYTES], "big") if ends else None


def acknowledgement(received: bytes) -> bytes:
    """The frame that a received frame asks for, or nothing; without it, a server closes the connection in the end."""
    kind, flags = received[3], received[4]
    if kind not in {PING, SETTINGS} or flags & ACK:
        return b""
    return frame(kind, ACK, 0, received[HEAD_BYTES:] if kind == PING else b"")


def _literal(name: bytes, value: bytes) -> bytes:
    """A field as a literal of HPACK, not indexed."""
    return b"\x00" + bytes([len(name)]) + name + _length(len(value)) + value


def _length(number: int) -> bytes:
    """An integer of HPACK with a prefix of 7 bits."""
    most = 2**7 - 1
    if number < most:
        return bytes([number])
    number, low = number - most, b""
    while number > most:
        low += bytes([number % 128 + 128])
        number //= 128
    return bytes([most]) + low + bytes([number])
