"""A record source that marks what is folded: nothing is committed that the store may have lost."""

import pytest

from services.consumers.marked_source import CHECK_S, MarkedRecordSource
from services.kafka.record_source import MemoryRecordSource, Record
from services.store.folded_offsets import FoldedOffsets
from services.store.protocol import RowsLost, StoreUnavailable
from tests.unit.store.test_folded_offsets import NAME, REMEDY, SCHEMA, TOPIC, NodedStore

RECORDS = [Record(NAME, number % 2, number // 2, None, b"") for number in range(8)]


class Clock:
    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def store() -> NodedStore:
    return NodedStore()


@pytest.fixture
def log() -> MemoryRecordSource:
    return MemoryRecordSource(RECORDS, batch=4)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def source(store: NodedStore, log: MemoryRecordSource, clock: Clock) -> MarkedRecordSource:
    folded = FoldedOffsets(store, SCHEMA, NAME, 1, REMEDY)
    folded.admit(TOPIC, {0: 0, 1: 0})
    return MarkedRecordSource(log, folded, clock)


def test_marks_come_before_the_commit(source: MarkedRecordSource, store: NodedStore, log: MemoryRecordSource) -> None:
    """Also of a part of a batch; a commit that fails leaves marks that are ahead."""
    batch = source.poll(0)
    source.commit([], batch[:3])
    assert [2, 1] == [int(store.rows["topic_state"][(f"{NAME}/{p}",)]["position"][2]) for p in (0, 1)]
    log.commit_failures.append(StoreUnavailable("any"))
    with pytest.raises(StoreUnavailable):
        source.commit([], batch[3:])
    assert 3 == log.committed
    source.rewind()
    source.commit([], source.poll(0))
    assert 7 == log.committed


def test_a_batch_during_which_a_server_was_replaced_is_folded_again(
    source: MarkedRecordSource, store: NodedStore, log: MemoryRecordSource
) -> None:
    """Its first rows may be lost, and its marks not."""
    batch = source.poll(0)
    store.changes += 1
    with pytest.raises(StoreUnavailable, match="replaced or restarted"):
        source.commit([], batch)
    assert 0 == log.committed
    source.rewind()
    source.commit([], source.poll(0))
    assert 4 == log.committed


def test_nothing_is_committed_once_rows_are_lost(
    source: MarkedRecordSource, store: NodedStore, log: MemoryRecordSource
) -> None:
    source.commit([], source.poll(0))
    store.rows.clear()
    with pytest.raises(RowsLost):
        source.commit([], source.poll(0))
    assert 4 == log.committed


def test_marks_are_checked_while_no_records_arrive(source: MarkedRecordSource, store: NodedStore, clock: Clock) -> None:
    """From time to time; at every poll once some are lost."""
    for _ in range(2):
        source.commit([], source.poll(0))
    assert [] == source.poll(0)
    kept = dict(store.rows)
    store.rows.clear()
    assert [] == source.poll(0)
    clock.now_s += CHECK_S
    for _ in range(2):
        with pytest.raises(RowsLost):
            source.poll(0)
    store.rows.update(kept)
    assert [] == source.poll(0)
