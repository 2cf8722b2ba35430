"""The record source on a real Kafka: what a member reads after its partitions were assigned to others."""

from collections import Counter
from collections.abc import Iterator

import pytest
from kafka import OffsetAndMetadata, TopicPartition
from kafka.errors import KafkaConnectionError, KafkaTimeoutError

from services.consumers.observer import ConsumerObserver
from services.kafka.connection import KafkaUnavailable
from services.kafka.consumer import KafkaRecordSource, KafkaRecordSourceConfig
from services.kafka.record_source import Record
from tests.integration.consumer_harness import Stage
from tests.unit.consumers.streams import behavior_event
from tests.waiting import wait_until

pytestmark = pytest.mark.integration

BATCH = 10
POLLS = 60


@pytest.fixture
def log(stage: Stage) -> Iterator[KafkaRecordSource]:
    config = KafkaRecordSourceConfig(
        kafka=stage.settings.kafka,
        group=stage.group("behavior"),
        topic=stage.topic("behavior"),
        max_poll_records=BATCH,
        session_timeout_ms=stage.settings.consumers.session_timeout_ms,
        transaction_timeout_ms=stage.settings.consumers.transaction_timeout_ms,
    )
    log = KafkaRecordSource(config, ConsumerObserver("behavior"))
    yield log
    log.close()


def test_a_member_with_a_reassigned_partition_continues_after_the_commit_of_another(
    stage: Stage, log: KafkaRecordSource
) -> None:
    """Kafka's client keeps its position in a partition that it has before and after a rebalance.

    Between the two another member may have owned it for a generation: records read there would count twice.
    """
    stage.send([behavior_event(number) for number in range(4 * BATCH)])
    first = _next_batch(log)
    log.commit([], first)
    member = log._consumer()
    partition = TopicPartition(first[0].topic, first[0].partition)
    # The other owner's commit, and the rebalance after it, without the generation that the member missed.
    member.commit({partition: OffsetAndMetadata(first[-1].offset + 1 + BATCH, "", -1)})
    member._coordinator.request_rejoin()
    second = _next_batch(log)
    assert first[-1].offset + 1 + BATCH == second[0].offset
    assert BATCH == len(second)


def test_a_partition_paused_in_the_middle_of_a_fetch_is_read_to_its_end(stage: Stage, log: KafkaRecordSource) -> None:
    """Kafka's client buffers the rest of the fetch, and drops it once another partition was read in between."""
    stage.send([behavior_event(number, user_id=f"u{number}") for number in range(100)])
    read = Counter(record.partition for record in _next_batch(log))
    (first,) = read
    member = log._consumer()
    paused = TopicPartition(stage.topic("behavior"), first)
    member.pause(paused)
    while records := log.poll(2):
        read.update(record.partition for record in records)
    assert BATCH == read[first]
    member.resume(paused)
    while records := log.poll(2):
        read.update(record.partition for record in records)
    assert 100 == sum(read.values())


def test_partitions_are_resumed_after_an_error_while_they_were_paused(
    stage: Stage, log: KafkaRecordSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever error occurred while the session was kept alive."""
    stage.send([behavior_event(number) for number in range(2 * BATCH)])
    first = _next_batch(log)
    with monkeypatch.context() as patch:
        patch.setattr(log._consumer(), "poll", _raises)
        with pytest.raises(KafkaUnavailable):
            log.keep_alive(0.1)
    log.rewind()
    assert first == _next_batch(log)


def test_committed_offsets_are_requested_again_after_a_late_answer(stage: Stage, log: KafkaRecordSource) -> None:
    """Kafka's client would use the late answer for the next request, and others commit in between."""
    stage.send([behavior_event(number) for number in range(2 * BATCH)])
    first = _next_batch(log)
    log.commit([], first)
    member, partition = log._consumer(), TopicPartition(first[0].topic, first[0].partition)
    with pytest.raises(KafkaTimeoutError):
        member.committed(partition, timeout_ms=0)
    wait_until(lambda: all(late.is_done for late in member._coordinator._offset_fetch_futures.values()))
    further = first[-1].offset + 6
    member.commit({partition: OffsetAndMetadata(further, "", -1)})
    assert further == member.committed(partition, timeout_ms=30_000)


def _raises(**_: object) -> None:
    raise KafkaConnectionError("gone")


def _next_batch(log: KafkaRecordSource) -> list[Record]:
    for _ in range(POLLS):
        records = log.poll(0.5)
        if records:
            return records
    raise AssertionError("there is more to read")
