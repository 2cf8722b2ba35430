"""Patches of kafka-python: methods whose bugs stop a consumer or make it read records twice, replaced in place.

Header names that are not UTF-8 (Kafka accepts them from clients that send plain bytes): kafka-python raised on such a
record, and no later record of the partition was read. The bytes are now read with backslash escapes.

Attributes of a record: one byte without use, which kafka-python reads as a number of any length. With its highest
bit set, it took the next fields for others, up to an offset far ahead, and skipped what lies between. The byte is now
cleared, and an offset outside of the batch makes the batch unreadable.

Batches that cannot be read stopped all partitions, or kafka-python never returned: see unreadable.py. Decompression was
not bounded: see decompression.py; nor were the bytes of a poll: see poll_bytes.py.

Fetched records of a paused partition: kafka-python kept them aside and returned them only when no other fetch was
buffered, and counted a fetch that was read to its end as buffered. Partitions with records kept aside are not fetched
either, so the partition stood still.

Committed offsets: an answer that came after the time-out was kept and returned to the next request for the same
partitions, however much later. Records that other members had committed since would have been read again.
"""

from collections.abc import Callable, Collection
from typing import Any

from kafka.consumer.fetcher import Fetcher
from kafka.coordinator.consumer import ConsumerCoordinator
from kafka.errors import CorruptRecordError
from kafka.record import default_records, legacy_records
from kafka.record.default_records import DefaultRecordBatch

from services.kafka.decompression import gunzip, unlz4, unsnappy, unzstd
from services.kafka.poll_bytes import bound_polls
from services.kafka.unreadable import guard_batches

DECODERS = {"gzip_decode": gunzip, "snappy_decode": unsnappy, "lz4_decode": unlz4, "zstd_decode": unzstd}
"""kafka-python's name of a decompression to the function that replaces it."""

_MARK = "_crossrec_patched"

Method = Callable[..., Any]


def apply_patches() -> None:
    """Replace the methods, once per process; further calls do nothing."""
    _replace(DefaultRecordBatch, "_read_msg", _read_any_record)
    _replace(Fetcher, "fetched_records", _return_paused_fetches)
    _replace(Fetcher, "_parse_fetched_data", guard_batches)
    _replace(Fetcher, "_append", bound_polls)
    _replace(ConsumerCoordinator, "fetch_committed_offsets_async", _forget_late_answers)
    for module in (default_records, legacy_records):
        for name, decode in DECODERS.items():
            setattr(module, name, decode)


def _replace(owner: type, name: str, make: Callable[[Method], Method]) -> None:
    original = getattr(owner, name)
    if not hasattr(original, _MARK):
        patched = make(original)
        setattr(patched, _MARK, True)
        setattr(owner, name, patched)


def _read_any_record(original: Method) -> Method:
    def read(batch: Any) -> Any:
        buffer, at = batch._buffer, batch._pos
        while buffer[at] & 0x80:  # the record's length: seven bits a byte
            at += 1
        if buffer[at + 1]:
            buffer[at + 1] = 0
        try:
            record = original(batch)
        except UnicodeDecodeError:
            # The batch's position has not moved: the same record is read again, and the rest of the batch like it.
            batch._buffer = _LenientBytes(buffer)
            record = original(batch)
        if not 0 <= record.offset - batch._header_data[0] <= batch._header_data[6]:
            raise CorruptRecordError("a record's offset is not within its batch")
        return record

    return read


class _LenientBytes(bytearray):
    r"""Bytes whose slices always decode to text; invalid UTF-8 becomes `\xNN`."""

    def __getitem__(self, index: Any) -> Any:
        part = super().__getitem__(index)
        return _LenientBytes(part) if isinstance(index, slice) else part

    def decode(self, encoding: str = "utf-8", errors: str = "backslashreplace") -> str:
        return super().decode(encoding, errors)


def _return_paused_fetches(original: Method) -> Method:
    def fetched_records(fetcher: Any, *args: Any, **kwargs: Any) -> Any:
        if not fetcher._next_partition_records:
            fetcher._next_partition_records = None
        return original(fetcher, *args, **kwargs)

    return fetched_records


def _forget_late_answers(original: Method) -> Method:
    async def fetch(coordinator: Any, partitions: Collection[Any], timeout_ms: float | None = None) -> Any:
        coordinator._offset_fetch_futures.pop(frozenset(partitions), None)
        return await original(coordinator, partitions, timeout_ms)

    return fetch
