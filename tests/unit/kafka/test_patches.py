"""Header names that are no text: their records are read, and those around them as ever.

The other patches need a broker: tests/integration/test_kafka_record_source.py.
"""

from kafka.record.default_records import DefaultRecordBatch, DefaultRecordBatchBuilder

from services.kafka.patches import apply_patches


class RawName(str):
    """A header name that kafka-python writes as bytes that are no text."""

    def encode(self, encoding: str = "utf-8", errors: str = "strict") -> bytes:
        del encoding, errors
        return b"na\xffme"


def test_a_name_that_is_no_text_is_read_with_its_bytes_spelt_out() -> None:
    """Between records that are read as before, however often the reading was asked for."""
    apply_patches()
    apply_patches()
    headers = [[("чай", b"1")], [("a", b"2"), (RawName("name!"), b"\xff")], []]
    builder = DefaultRecordBatchBuilder(2, 0, False, -1, -1, -1, 1 << 16)
    for offset, own in enumerate(headers):
        assert builder.append(offset, 1_700_000_000_000, b"key", b"value %d" % offset, own)
    found = list(DefaultRecordBatch(bytes(builder.build())))
    assert [b"value 0", b"value 1", b"value 2"] == [record.value for record in found]
    assert [[("чай", b"1")], [("a", b"2"), ("na\\xffme", b"\xff")], []] == [record.headers for record in found]
