"""Patches of kafka-python: three methods whose bugs stop a consumer or make it read records twice, replaced in place.

Header names that are not UTF-8 (Kafka accepts them from clients that send plain bytes): kafka-python raised on such a
record, and no later record of the partition was read. The bytes are now read with backslash escapes.

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
from kafka.record.default_records import DefaultRecordBatch

_MARK = "_crossrec_patched"

Method = Callable[..., Any]


def apply_patches() -> None:
    """Replace the methods, once per process; further calls do nothing."""
    _replace(DefaultRecordBatch, "_read_msg", _accept_any_header_name)
    _replace(Fetcher, "fetched_records", _return_paused_fetches)
    _replace(ConsumerCoordinator, "fetch_committed_offsets_async", _forget_late_answers)


def _replace(owner: type, name: str, make: Callable[[Method], Method]) -> None:
    original = getattr(owner, name)
    if not hasattr(original, _MARK):
        patched = make(original)
        setattr(patched, _MARK, True)
        setattr(owner, name, patched)


def _accept_any_header_name(original: Method) -> Method:
    def read(batch: Any) -> Any:
        try:
            return original(batch)
        except UnicodeDecodeError:
            # The batch's position has not moved: the same record is read again.
            buffer, batch._buffer = batch._buffer, _LenientBytes(batch._buffer)
            try:
                return original(batch)
            finally:
                batch._buffer = buffer

    return read


class _LenientBytes(bytes):
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
