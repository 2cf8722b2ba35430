"""Record batches as a producer may write them: compressed by hand, or damaged."""

import struct
from collections.abc import Sequence

from kafka.record.default_records import DefaultRecordBatchBuilder
from kafka.record.util import calc_crc32c

HEADER_BYTES = 61
ATTRIBUTES_AT, CHECKSUM_AT, CHECKED_FROM = 21, 17, 21


def plain(values: Sequence[bytes], first: int = 0, key: bytes = b"k") -> bytes:
    """A batch of records with these values, the first at offset `first`."""
    builder = DefaultRecordBatchBuilder(2, 0, False, -1, -1, -1, 1 << 28)
    for number, value in enumerate(values):
        assert builder.append(number, 1_700_000_000_000, key, value, [])
    raw = bytearray(builder.build())
    struct.pack_into(">q", raw, 0, first)
    return bytes(raw)


def repacked(batch: bytes, payload: bytes, codec: int = 0) -> bytes:
    """The batch with other bytes in place of its records, said to be compressed with a codec; its checksum holds."""
    raw = bytearray(batch[:HEADER_BYTES]) + payload
    struct.pack_into(">i", raw, 8, len(raw) - 12)
    struct.pack_into(">h", raw, ATTRIBUTES_AT, codec)
    struct.pack_into(">I", raw, CHECKSUM_AT, calc_crc32c(memoryview(raw)[CHECKED_FROM:]))
    return bytes(raw)


def records_of(batch: bytes) -> bytes:
    """The bytes of a batch that follow its header."""
    return batch[HEADER_BYTES:]
