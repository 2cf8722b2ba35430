"""Header names that are not UTF-8: their records are read, and other records are not affected.

The other patches need a broker: tests/integration/test_kafka_record_source.py.
"""

from kafka.record.default_records import DefaultRecordBatch, DefaultRecordBatchBuilder

from services.kafka.patches import apply_patches


class RawName(str):
    """A header name that kafka-python writes as bytes that are not UTF-8."""

    def encode(self, encoding: str = "utf-8", errors: str = "strict") -> bytes:
        del encoding, errors
        return b"na\xffme"


def test_invalid_bytes_of_a_header_name_are_escaped() -> None:
    """Other records are read as before, also if the patch is applied several times."""
    apply_patches()
    apply_patches()
    headers = [[("чай", b"1")], [("a", b"2"), (RawName("name!"), b"\xff")], []]
    builder = DefaultRecordBatchBuilder(2, 0, False, -1, -1, -1, 1 << 16)
    for offset, own in enumerate(headers):
        assert builder.append(offset, 1_700_000_000_000, b"key", b"value %d" % offset, own)
    found = list(DefaultRecordBatch(bytes(builder.build())))
    assert [b"value 0", b"value 1", b"value 2"] == [record.value for record in found]
    assert [[("чай", b"1")], [("a", b"2"), ("na\\xffme", b"\xff")], []] == [record.headers for record in found]
