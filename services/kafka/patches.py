"""kafka-python as consumers need it: methods of its that stop or mislead a consumer for good, replaced in this process.

Header names that are not UTF-8 (Kafka takes them from clients that send plain bytes): the record was refused, and with
it every one behind it. The offending bytes are read as they are spelt in Python.

Fetched records of a paused partition: kept aside, and taken up again only while no other fetch is in hand, where one
that was read to its end counts as in hand. What is kept aside is not fetched either: the partition stood still.

Committed offsets: an answer that came after the time-out was kept for the next question about the same partitions,
however much later that came. What others had committed since would have been read once more.
"""

from collections.abc import Callable, Collection
from typing import Any

from kafka.consumer.fetcher import Fetcher
from kafka.coordinator.consumer import ConsumerCoordinator
from kafka.record.default_records import DefaultRecordBatch

_MARK = "_crossrec_mended"

Method = Callable[..., Any]


def apply_patches() -> None:
    """Replace the methods; once is enough, more is harmless."""
    _replace(DefaultRecordBatch, "_read_msg", _reading_any_header_name)
    _replace(Fetcher, "fetched_records", _returning_paused_fetches)
    _replace(ConsumerCoordinator, "fetch_committed_offsets_async", _asking_anew)


def _replace(owner: type, name: str, make: Callable[[Method], Method]) -> None:
    original = getattr(owner, name)
    if not hasattr(original, _MARK):
        mended = make(original)
        setattr(mended, _MARK, True)
        setattr(owner, name, mended)


def _reading_any_header_name(strict: Method) -> Method:
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

    return read


class _Lenient(bytes):
    r"""Bytes whose slices decode to text whatever they are; those that are none as `\xNN`."""

    def __getitem__(self, index: Any) -> Any:
        found = super().__getitem__(index)
        return _Lenient(found) if isinstance(index, slice) else found

    def decode(self, encoding: str = "utf-8", errors: str = "backslashreplace") -> str:
        return super().decode(encoding, errors)


def _returning_paused_fetches(forgetful: Method) -> Method:
    def fetched_records(fetcher: Any, *args: Any, **kwargs: Any) -> Any:
        if not fetcher._next_partition_records:
            fetcher._next_partition_records = None
        return forgetful(fetcher, *args, **kwargs)

    return fetched_records


def _asking_anew(remembering: Method) -> Method:
    async def fetch(coordinator: Any, partitions: Collection[Any], timeout_ms: float | None = None) -> Any:
        coordinator._offset_fetch_futures.pop(frozenset(partitions), None)
        return await remembering(coordinator, partitions, timeout_ms)

    return fetch
