"""Decompression: whatever brokers accept is read, and nothing grows without bound."""

import gzip

import lz4.frame
import pytest
import snappy
import zstandard
from kafka import codec

from services.kafka.decompression import MAX_BYTES, BadCompression, gunzip, unlz4, unsnappy, unzstd

TEXT = b"tea and biscuits, " * 5000


@pytest.mark.parametrize(
    ("decode", "payload"),
    [
        (gunzip, gzip.compress(TEXT)),
        (gunzip, gzip.compress(TEXT[:10]) + gzip.compress(TEXT[10:])),
        (gunzip, gzip.compress(TEXT) + b"behind"),
        (unsnappy, snappy.compress(TEXT)),
        (unsnappy, codec.snappy_encode(TEXT)),
        (unsnappy, codec.snappy_encode(TEXT[:10]) + codec.snappy_encode(TEXT[10:])),
        (unlz4, codec.lz4_encode(TEXT)),
        (unlz4, lz4.frame.compress(TEXT, content_checksum=True) + b"behind"),
        (unzstd, zstandard.compress(TEXT)),
        (unzstd, zstandard.ZstdCompressor(write_content_size=False).compress(TEXT)),
        (unzstd, zstandard.compress(TEXT[:10]) + zstandard.compress(TEXT[10:])),
    ],
)
def test_every_form_that_a_broker_accepts_is_read(decode: object, payload: bytes) -> None:
    """Several streams one after the other; bytes behind the last one are ignored where brokers ignore them."""
    assert TEXT == decode(payload)  # type: ignore[operator]


@pytest.mark.parametrize(
    ("decode", "payload"),
    [
        (gunzip, gzip.compress(b"\0" * (MAX_BYTES + 1), 9)),
        (gunzip, gzip.compress(b"\0" * MAX_BYTES, 9) + gzip.compress(b"\0")),
        (unsnappy, snappy.compress(b"\0" * (MAX_BYTES + 1))),
        (unsnappy, b"\xff\xff\xff\xff\x0f"),
        (unlz4, lz4.frame.compress(b"\0" * (MAX_BYTES + 1))),
        (unzstd, zstandard.compress(b"\0" * (MAX_BYTES + 1))),
    ],
)
def test_a_batch_that_grows_without_bound_is_refused(decode: object, payload: bytes) -> None:
    """Before it has taken the memory."""
    with pytest.raises(BadCompression, match="more than 67,108,864 bytes when decompressed"):
        decode(payload)  # type: ignore[operator]


@pytest.mark.parametrize("decode", [gunzip, unsnappy, unlz4, unzstd])
@pytest.mark.parametrize("payload", [b"\x00" * 40, b"\xff" * 40, codec.snappy_encode(TEXT)[:-5]])
def test_what_is_not_compressed_is_refused(decode: object, payload: bytes) -> None:
    """Whatever the package raises."""
    with pytest.raises(BadCompression):
        decode(payload)  # type: ignore[operator]


@pytest.mark.parametrize(("decode", "payload"), [(gunzip, gzip.compress(TEXT)), (unlz4, codec.lz4_encode(TEXT))])
def test_a_stream_that_ends_early_is_refused(decode: object, payload: bytes) -> None:
    """Rather than read in part."""
    with pytest.raises(BadCompression, match="early"):
        decode(payload[:-20])  # type: ignore[operator]
