"""The size of a batch: bounded in bytes and in time."""

from services.consumers.batch_limit import BATCH_BYTES, BatchLimit
from services.kafka.record_source import Record

SMALL = Record("t", 0, 0, b"k", b"v", [("h", None)])
LARGE = Record("t", 0, 1, None, b"v" * (BATCH_BYTES - 100))


def test_many_small_records_are_one_batch() -> None:
    """What a poll brings of ordinary records is folded at once."""
    assert [SMALL] * 5000 == BatchLimit().take([SMALL] * 5000, 0)
    assert [SMALL] * 2 == BatchLimit().take([SMALL] * 5, 3)


def test_a_batch_is_bounded_in_bytes_and_holds_one_record_at_least() -> None:
    """Keys and headers count, too; a record beyond the bound is alone."""
    limit = BatchLimit()
    assert [LARGE, SMALL] == limit.take([LARGE, SMALL, LARGE], 0)
    assert [SMALL] == limit.take([SMALL, LARGE, LARGE], 0)[:1]
    whole = Record("t", 0, 2, b"k" * BATCH_BYTES, None, [("n" * 9, b"v")] * 9)
    assert [whole] == limit.take([SMALL, whole, SMALL], 1)
    many_headers = Record("t", 0, 3, None, b"", [("", b"")] * (BATCH_BYTES // 8))
    assert [many_headers] == limit.take([many_headers, many_headers], 0)


def test_slow_batches_become_smaller_and_fast_ones_larger_again() -> None:
    """Down to one record; a batch that is smaller for another reason changes nothing."""
    limit, records = BatchLimit(), [SMALL] * 8
    limit.on_folded(8, 2.5)
    assert 4 == len(limit.take(records, 0))
    for _ in range(5):
        limit.on_folded(len(limit.take(records, 0)), 2.5)
    assert 1 == len(limit.take(records, 0))
    limit.on_folded(1, 1.0)
    assert 1 == len(limit.take(records, 0))
    limit.on_folded(1, 0.1)
    limit.on_folded(1, 0.1)
    assert 2 == len(limit.take(records, 0))
    limit.on_folded(2, 0.1)
    assert 4 == len(limit.take(records, 0))
