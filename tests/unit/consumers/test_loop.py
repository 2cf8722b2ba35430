"""The loop: write, then commit; no record is skipped, and only a stop or a schema change ends it."""

import json
import logging
import random
import threading
from collections.abc import Callable, Sequence

import pytest

from services.consumers.dead_letters.record import SMALL_BYTES, DeadLetter
from services.consumers.loop import BACKOFF_S, BatchResult, ConsumerLoop
from services.consumers.stoppable_encoder import Stopped
from services.kafka.connection import KafkaUnavailable
from services.kafka.record_source import LostPartitions, MemoryRecordSource, OutputRecord, Record
from services.server.logging import JsonFormatter
from services.store.protocol import FencedWrite, RowsLost, StaleSchema, StoreUnavailable

RECORDS = [Record("crossrec.behavior", 0, offset, b"u", b"v%d" % offset) for offset in range(10)]


class Stop(threading.Event):
    """A stop event whose waits return at once; records the time-outs."""

    def __init__(self) -> None:
        super().__init__()
        self.waits: list[float] = []

    def wait(self, timeout: float | None = None) -> bool:
        self.waits.append(timeout or 0.0)
        return self.is_set()


class FakeHandler:
    """Records the batches it folds; raises the given failures first."""

    def __init__(self) -> None:
        self.folded: list[list[int]] = []
        self.failures: list[Exception] = []
        self.dead: set[int] = set()
        self.before: Callable[[], None] = lambda: None
        self.outputs = True

    def fold(self, records: Sequence[Record]) -> BatchResult:
        self.before()
        if self.failures:
            raise self.failures.pop(0)
        self.folded.append([record.offset for record in records])
        outputs = [OutputRecord("crossrec.activity", b"i", b"%d" % record.offset) for record in records if self.outputs]
        return BatchResult(outputs, [DeadLetter(record, "why") for record in records if record.offset in self.dead])


@pytest.fixture
def log() -> MemoryRecordSource:
    return MemoryRecordSource(RECORDS, batch=4)


@pytest.fixture
def handler() -> FakeHandler:
    return FakeHandler()


@pytest.fixture
def stop() -> Stop:
    return Stop()


@pytest.fixture
def loop(log: MemoryRecordSource, handler: FakeHandler, stop: Stop) -> ConsumerLoop:
    return ConsumerLoop(log, handler, "crossrec.dead-letter", stop, random.Random(0))


def drain(loop: ConsumerLoop, log: MemoryRecordSource) -> None:
    for _ in range(50):
        loop.step()
        if log.committed == len(RECORDS):
            return
    raise AssertionError(f"committed {log.committed} of {len(RECORDS)} records")


@pytest.mark.parametrize("bad", [{3}, {0, 9}, set(range(10)), {4, 5, 6}])
def test_a_record_whose_outputs_kafka_does_not_take_is_set_aside_alone(
    loop: ConsumerLoop, log: MemoryRecordSource, bad: set[int]
) -> None:
    """The batch is tried in halves; every other record's outputs are written once, and no partition stands still."""
    log.rejects = lambda output: output.topic == "crossrec.activity" and int(output.value or b"") in bad
    drain(loop, log)
    assert [offset for offset in range(10) if offset not in bad] == written(log)
    aside = [dict(output.headers) for output in log.outputs if output.topic == "crossrec.dead-letter"]
    assert [b"%d" % offset for offset in sorted(bad)] == [headers["offset"] for headers in aside]
    assert all(headers["reason"].startswith(b"its activity cannot be stored: Message") for headers in aside)
    assert 0 == log.rewinds


def test_a_dead_letter_that_kafka_does_not_take_is_written_small(
    handler: FakeHandler, stop: Stop, caplog: pytest.LogCaptureFixture
) -> None:
    """A topic that somebody else made may take less than ours; one that takes nothing is an outage."""
    log = MemoryRecordSource([Record("t", 0, number, b"k", b"v" * 900_000) for number in range(3)])
    log.rejects = lambda output: len(output.value or b"") > 500_000
    handler.dead = {1}
    handler.outputs = False
    loop = ConsumerLoop(log, handler, "crossrec.dead-letter", stop, random.Random(0))
    while log.committed < 3:
        loop.step()
    (output,) = log.outputs
    assert b"1" == dict(output.headers)["offset"]
    assert b"value 900000 bytes, key 1 bytes, headers 0 bytes" == dict(output.headers)["cut"]
    assert len(output.value or b"") < SMALL_BYTES
    log.position = log.committed = 0
    log.rejects = lambda _: True
    with caplog.at_level(logging.WARNING, "services.consumers"):
        assert 1 == loop.step()
    assert 1 == log.committed
    (line,) = [json.loads(JsonFormatter().format(record)) for record in caplog.records][-1:]
    assert str(line["reason"]).startswith("crossrec.dead-letter takes no dead letter")


def test_a_stop_signal_interrupts_the_encoding_of_a_batch(loop: ConsumerLoop, handler: FakeHandler) -> None:
    """Nothing of it was written; it is folded after the next start."""
    handler.failures = [Stopped("stopping")]
    assert 0 == loop.step()
    assert [] == handler.folded


def written(log: MemoryRecordSource) -> list[int]:
    return [int(output.value or b"") for output in log.outputs if output.topic == "crossrec.activity"]


def events(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [json.loads(JsonFormatter().format(record))["event"] for record in caplog.records]


def test_batches_are_folded_and_then_committed(
    loop: ConsumerLoop, log: MemoryRecordSource, handler: FakeHandler
) -> None:
    """Outputs and offsets come after the rows; an empty poll does nothing."""
    committed: list[int] = []
    handler.before = lambda: committed.append(log.committed)
    drain(loop, log)
    assert [0, 4, 8] == committed
    assert list(range(10)) == written(log)
    assert 0 == loop.step()


def test_a_crash_between_write_and_commit_repeats_the_batch(
    log: MemoryRecordSource, handler: FakeHandler, stop: Stop
) -> None:
    """The next process folds the same records; their outputs are in the log once."""
    log.commit_failures = [RuntimeError("killed")]  # type: ignore[list-item]
    with pytest.raises(RuntimeError, match="killed"):
        ConsumerLoop(log, handler, "d", stop).run()
    log.rewind()
    drain(ConsumerLoop(log, handler, "d", stop), log)
    assert [0, 1, 2, 3] == handler.folded[0] == handler.folded[1]
    assert list(range(10)) == written(log)


@pytest.mark.parametrize("failure", [LostPartitions("moved"), KafkaUnavailable("down")])
@pytest.mark.parametrize("call", ["poll_failures", "commit_failures", "rewind_failures"])
def test_failures_of_the_log_skip_no_record(
    failure: Exception, call: str, loop: ConsumerLoop, log: MemoryRecordSource
) -> None:
    """The loop resumes at the committed offsets after any number of failures."""
    log.commit_failures = [KafkaUnavailable("down")]
    getattr(log, call).extend([failure] * 3)
    drain(loop, log)
    assert list(range(10)) == written(log)


def test_a_member_that_cannot_rewind_takes_part_in_rebalances(loop: ConsumerLoop, log: MemoryRecordSource) -> None:
    """While the store is unavailable or has lost rows: until all members answer, nobody is assigned partitions."""
    log.commit_failures = [KafkaUnavailable("down")]
    log.rewind_failures = [StoreUnavailable("down"), RowsLost("lost"), KafkaUnavailable("down")]
    drain(loop, log)
    assert 2 == log.waits
    assert list(range(10)) == written(log)


def test_a_fenced_write_drops_the_batch(
    loop: ConsumerLoop, log: MemoryRecordSource, handler: FakeHandler, caplog: pytest.LogCaptureFixture
) -> None:
    """One log line is written; the loop resumes at the committed offsets."""
    handler.failures = [FencedWrite("1 rows of view user hold newer positions")]
    with caplog.at_level(logging.INFO, "services.consumers"):
        assert 0 == loop.step()
    assert (["batch_dropped"], 1, []) == (events(caplog), log.rewinds, log.outputs)
    drain(loop, log)
    assert list(range(10)) == written(log)


def test_while_the_store_is_unavailable_the_batch_is_retried(
    loop: ConsumerLoop, log: MemoryRecordSource, handler: FakeHandler, caplog: pytest.LogCaptureFixture
) -> None:
    """The group is kept alive and nothing is committed; one log line reports the failure, one its end."""
    committed: list[int] = []
    handler.before = lambda: committed.append(log.committed)
    handler.failures = [StoreUnavailable("down")] * 5
    with caplog.at_level(logging.INFO, "services.consumers"):
        assert 4 == loop.step()
    assert [0] * 6 == committed
    assert ([[0, 1, 2, 3]], 0) == (handler.folded, log.rewinds)
    assert log.waits >= 5
    assert ["store_unavailable", "recovered"] == events(caplog)


def test_partitions_that_move_while_the_store_is_unavailable_drop_the_batch(
    loop: ConsumerLoop, log: MemoryRecordSource, handler: FakeHandler
) -> None:
    """Their new owner folds the batch; this consumer continues from the committed offsets."""
    handler.failures = [StoreUnavailable("down")]
    log.rebalances = [False]
    assert 0 == loop.step()
    assert (1, 0, []) == (log.rewinds, log.committed, handler.folded)
    drain(loop, log)
    assert list(range(10)) == written(log)


def test_waits_between_attempts_grow_to_a_bound_with_jitter(
    loop: ConsumerLoop, log: MemoryRecordSource, stop: Stop
) -> None:
    """Half of each wait is random."""
    log.commit_failures = [KafkaUnavailable("down")] * 12
    drain(loop, log)
    first, longest = BACKOFF_S
    assert first / 2 <= stop.waits[0] <= first
    assert longest / 2 <= max(stop.waits) <= longest
    assert len(set(stop.waits)) == len(stop.waits)


def test_a_stop_finishes_the_current_batch(
    loop: ConsumerLoop, log: MemoryRecordSource, handler: FakeHandler, stop: Stop
) -> None:
    """It is committed, no other batch is begun, and the consumer leaves the group."""
    handler.before = stop.set
    loop.run()
    assert ([[0, 1, 2, 3]], 4, True) == (handler.folded, log.committed, log.closed)


def test_a_stop_ends_the_wait_for_the_store(
    loop: ConsumerLoop, log: MemoryRecordSource, handler: FakeHandler, stop: Stop
) -> None:
    """The batch is not committed: the next process folds it."""
    handler.failures = [StoreUnavailable("down")] * 100
    handler.before = lambda: stop.set() if len(handler.failures) == 90 else None
    loop.run()
    assert (0, True) == (log.committed, log.closed)


def test_a_stop_ends_the_wait_for_the_log(loop: ConsumerLoop, log: MemoryRecordSource, stop: Stop) -> None:
    """Even if every attempt to rewind fails."""
    log.commit_failures = [KafkaUnavailable("down")]
    log.rewind_failures = [KafkaUnavailable("down")] * 1000
    polls = iter(range(5))
    real_wait = stop.wait
    stop.wait = lambda timeout=None: (next(polls, None) is None and stop.set()) or real_wait(timeout)  # type: ignore[method-assign]
    loop.run()
    assert (0, True) == (log.committed, log.closed)


def test_dead_letters_are_committed_with_their_batch(
    loop: ConsumerLoop, log: MemoryRecordSource, handler: FakeHandler, caplog: pytest.LogCaptureFixture
) -> None:
    """With reason and position, and once, although the batch was repeated."""
    handler.dead = {2, 9}
    log.commit_failures = [KafkaUnavailable("down")]
    with caplog.at_level(logging.INFO, "services.consumers"):
        drain(loop, log)
    dead_letters = [output for output in log.outputs if output.topic == "crossrec.dead-letter"]
    assert [b"v2", b"v9"] == [dead_letter.value for dead_letter in dead_letters]
    assert [b"2", b"9"] == [dict(dead_letter.headers)["offset"] for dead_letter in dead_letters]
    assert 2 == events(caplog).count("dead_letters")


def test_rows_of_another_schema_end_the_loop(loop: ConsumerLoop, log: MemoryRecordSource, handler: FakeHandler) -> None:
    """A retry would not help; the consumer leaves the group so that other members take over at once."""
    handler.failures = [StaleSchema("rows of view user were written under another schema")]
    with pytest.raises(StaleSchema):
        loop.run()
    assert (0, True) == (log.committed, log.closed)


def test_a_batch_that_cannot_be_read_is_set_aside(handler: FakeHandler, stop: Stop) -> None:
    """As a dead letter with its reason; it is not folded, and its offset is committed."""
    batch = Record("crossrec.behavior", 0, 7, None, b"raw", unreadable="unreadable batch: t, partition 0")
    log = MemoryRecordSource([batch])
    assert 1 == ConsumerLoop(log, handler, "crossrec.dead-letter", stop).step()
    (output,) = log.outputs
    assert ("crossrec.dead-letter", b"raw") == (output.topic, output.value)
    assert b"unreadable batch: t, partition 0" == dict(output.headers)["reason"]
    assert (1, []) == (log.committed, handler.folded)
