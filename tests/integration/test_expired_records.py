"""Records that Kafka deletes before they are folded, and a log that ends before the committed offsets."""

from collections.abc import Iterator

import pytest
from kafka import TopicPartition

from services.consumers.observer import ConsumerObserver
from services.kafka.consumer import KafkaRecordSource, KafkaRecordSourceConfig
from services.kafka.record_source import Record
from tests.integration.consumer_harness import Stage
from tests.unit.consumers.streams import behavior_event
from tests.waiting import wait_until

pytestmark = pytest.mark.integration


@pytest.fixture
def observer() -> ConsumerObserver:
    return ConsumerObserver("behavior")


@pytest.fixture
def source(stage: Stage, observer: ConsumerObserver) -> Iterator[KafkaRecordSource]:
    config = KafkaRecordSourceConfig(
        kafka=stage.settings.kafka,
        group=stage.group("behavior"),
        topic=stage.topic("behavior"),
        max_poll_records=10,
        session_timeout_ms=stage.settings.consumers.session_timeout_ms,
        transaction_timeout_ms=stage.settings.consumers.transaction_timeout_ms,
    )
    source = KafkaRecordSource(config, observer)
    yield source
    source.close()


def send(stage: Stage, count: int) -> None:
    """Events of one user, so of one partition."""
    stage.send([behavior_event(number) for number in range(count)])


def next_batch(source: KafkaRecordSource) -> list[Record]:
    batch = list[Record]()

    def poll() -> bool:
        batch.extend(source.poll(0.5))
        return bool(batch)

    wait_until(poll)
    return batch


def expired(observer: ConsumerObserver) -> float | None:
    labels = {"kind": "behavior"}
    return observer.registry.get_sample_value("crossrec_consumer_records_expired_total", labels)


def delete_before(stage: Stage, partition: TopicPartition, offset: int) -> None:
    stage.admin.delete_records({partition: offset})


def test_records_that_expired_while_consumers_were_away_are_counted(
    stage: Stage, source: KafkaRecordSource, observer: ConsumerObserver
) -> None:
    """Once; the consumer continues with those that are left, and is not ready."""
    send(stage, 40)
    first = next_batch(source)
    source.commit([], first)
    partition = TopicPartition(first[0].topic, first[0].partition)
    source._leave()
    delete_before(stage, partition, first[-1].offset + 1 + 7)
    second = next_batch(source)
    assert first[-1].offset + 1 + 7 == second[0].offset
    source.rewind()
    assert second[0].offset == next_batch(source)[0].offset
    assert 7.0 == expired(observer)
    assert f"partition {partition.partition}: 7 records expired" in str(observer.health.ready().reasons)


def test_records_that_expire_under_a_running_consumer_are_counted(
    stage: Stage, source: KafkaRecordSource, observer: ConsumerObserver
) -> None:
    """Kafka's client would go to the beginning of what is left without a word."""
    send(stage, 40)
    first = next_batch(source)
    source.commit([], first)
    partition = TopicPartition(first[0].topic, first[0].partition)
    member = source._consumer()
    member.seek(partition, first[-1].offset + 1)
    member.pause(partition)
    delete_before(stage, partition, first[-1].offset + 1 + 20)
    # Fetched before; a fetch from now on is out of range.
    member._fetcher._completed_fetches.clear()
    member._fetcher._paused_completed_fetches.clear()
    member._fetcher._paused_partition_records.clear()
    member._fetcher._next_partition_records = None
    member.resume(partition)
    assert first[-1].offset + 1 + 20 == next_batch(source)[0].offset
    assert 20.0 == expired(observer)
