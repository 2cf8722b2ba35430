r"""Header names that are not UTF-8: kafka-python refuses the record, and with it every one behind it, for good.

Kafka takes such names from clients that send plain bytes. Here the offending bytes are read as `\xNN`.
"""

from typing import Any

from kafka.record.default_records import DefaultRecordBatch

_MARK = "_crossrec_any_header_name"


def accept_any_header_name() -> None:
    """Make kafka-python read such records in this process; once is enough, more is harmless."""
    strict = DefaultRecordBatch._read_msg
    if hasattr(strict, _MARK):
        return

    def read(batch: Any) -> Any:
        try:
            return strict(batch)
        except UnicodeDecodeError:
            # The batch has not moved on: the same record is read again.
            buffer, batch._buffer = batch._buffer, _Lenient(batch._buffer)
            try:
                return strict(batch)
            finally:
                batch._buffer = buffer

    setattr(read, _MARK, True)
    DefaultRecordBatch._read_msg = read


class _Lenient(bytes):
    """Bytes whose slices decode to text whatever they are."""

    def __getitem__(self, index: Any) -> Any:
        found = super().__getitem__(index)
        return _Lenient(found) if isinstance(index, slice) else found

    def decode(self, encoding: str = "utf-8", errors: str = "backslashreplace") -> str:
        return super().decode(encoding, errors)
