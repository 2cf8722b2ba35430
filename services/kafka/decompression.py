"""Decompression of Kafka's record batches: bounded, and as tolerant as the brokers, which check what they store.

kafka-python's own functions put no bound on what a batch grows to: one record of a megabyte could become gigabytes. And
they refuse forms that brokers accept and hand out: bytes after a gzip stream, snappy streams one after the other.
"""

import io
import struct
import zlib

MAX_BYTES = 64 * 1024 * 1024
"""Most bytes that a batch may have when it is decompressed; far beyond what any producer of entries sends."""

_GZIP = b"\x1f\x8b"

_XERIAL = b"\x82SNAPPY\x00"
"""Begins a snappy stream of blocks, as Java's producers write it; two version numbers of 4 bytes follow."""

_XERIAL_HEADER_BYTES = 16


class BadCompression(ValueError):
    """A batch does not decompress, or to more than MAX_BYTES."""


def gunzip(payload: bytes) -> bytes:
    """The content of gzip streams one after the other; other bytes behind them are ignored."""
    out, rest = bytearray(), bytes(payload)
    while True:
        stream = zlib.decompressobj(wbits=31)
        try:
            out += stream.decompress(rest, MAX_BYTES + 1 - len(out))
        except zlib.error as error:
            raise BadCompression(f"gzip: {error}") from error
        _check_size("gzip", len(out))
        if not stream.eof:
            raise BadCompression("gzip: the stream ends early")
        rest = stream.unused_data
        if not rest.startswith(_GZIP):
            return bytes(out)


def unsnappy(payload: bytes) -> bytes:
    """The content of one snappy block, or of streams of blocks one after the other."""
    if not payload.startswith(_XERIAL):
        return _snappy_block(payload, 0)
    out, at = bytearray(), 0
    while at < len(payload):
        if payload.startswith(_XERIAL, at):
            at += _XERIAL_HEADER_BYTES
            continue
        if at + 4 > len(payload):
            raise BadCompression("snappy: the stream ends early")
        (size,) = struct.unpack_from(">i", payload, at)
        begin, at = at + 4, at + 4 + size
        if size < 0 or at > len(payload):
            raise BadCompression("snappy: a block's size is not that of the stream")
        out += _snappy_block(payload[begin:at], len(out))
    return bytes(out)


def unlz4(payload: bytes) -> bytes:
    """The content of the first LZ4 frame; brokers ignore what is behind it."""
    from lz4.frame import LZ4FrameDecompressor

    stream = LZ4FrameDecompressor()
    try:
        out: bytes = stream.decompress(payload, max_length=MAX_BYTES + 1)
    except RuntimeError as error:
        raise BadCompression(f"lz4: {error}") from error
    _check_size("lz4", len(out))
    if not stream.eof:
        raise BadCompression("lz4: the frame ends early")
    return out


def unzstd(payload: bytes) -> bytes:
    """The content of Zstandard frames one after the other."""
    from zstandard import ZstdDecompressor, ZstdError

    try:
        with ZstdDecompressor().stream_reader(io.BytesIO(payload), read_across_frames=True) as stream:
            out: bytes = stream.read(MAX_BYTES + 1)
    except ZstdError as error:
        raise BadCompression(f"zstd: {error}") from error
    _check_size("zstd", len(out))
    return out


def _snappy_block(block: bytes, before: int) -> bytes:
    import snappy

    # A block begins with the size of its content: seven bits a byte, the lowest first.
    size = 0
    for number, byte in enumerate(block[:5]):
        size |= (byte & 0x7F) << 7 * number
        if byte < 0x80:
            break
    _check_size("snappy", before + size)
    try:
        content: bytes = snappy.decompress(block)
    except Exception as error:  # of the package that python-snappy is built on; it has no type of its own
        raise BadCompression(f"snappy: {error}") from error
    return content


def _check_size(codec: str, size: int) -> None:
    if size > MAX_BYTES:
        raise BadCompression(f"{codec}: more than {MAX_BYTES:,} bytes when decompressed")
