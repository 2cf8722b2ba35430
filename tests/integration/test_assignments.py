"""A member that is assigned nothing because the group's leader does not know the topic's partitions yet."""

import pytest
from kafka.coordinator.assignors.range import RangePartitionAssignor

from services.consumers.observer import ConsumerObserver
from services.kafka.consumer import KafkaRecordSource, KafkaRecordSourceConfig
from tests.integration.consumer_harness import Stage, running
from tests.unit.consumers.streams import behavior_event
from tests.waiting import wait_until

pytestmark = pytest.mark.integration


def source_of(stage: Stage, observer: ConsumerObserver, kind: str) -> KafkaRecordSource:
    consumers = stage.settings.consumers
    return KafkaRecordSource(
        KafkaRecordSourceConfig(
            kafka=stage.settings.kafka,
            group=stage.group(kind),
            topic=stage.topic(kind),
            max_poll_records=10,
            session_timeout_ms=consumers.session_timeout_ms,
            transaction_timeout_ms=consumers.transaction_timeout_ms,
        ),
        observer,
    )


def test_a_leader_without_metadata_is_noticed_and_joins_again(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """The member is not ready and names topic and group; Kafka's client would stay so for minutes."""
    original, without = RangePartitionAssignor.assign, [True]

    def assign(cls: type, cluster: object, members: dict[str, object]) -> object:
        if without[0]:
            return original.__func__(cls, _NoTopics(), members)
        return original.__func__(cls, cluster, members)

    monkeypatch.setattr(RangePartitionAssignor, "assign", classmethod(assign))
    stage.send([behavior_event(number) for number in range(5)])
    observer = ConsumerObserver("behavior")
    source = source_of(stage, observer, "behavior")
    try:
        wait_until(lambda: source.poll(0.5) or any("assigned" in each for each in observer.health.ready().reasons[:1]))
        wait_until(
            lambda: not source.poll(0.5) and f"{stage.topic('behavior')} has 4" in str(observer.health.ready().reasons)
        )
        without[0] = False
        wait_until(lambda: source.poll(0.5))
        assert observer.health.ready().ok
    finally:
        source.close()


class _NoTopics:
    """Metadata of a broker that does not know the topic."""

    def partitions_for_topic(self, _: str) -> None:
        return None


def test_a_member_more_than_there_are_partitions_is_ready(stage: Stage) -> None:
    """It stands by."""
    with running(stage, "scenario"):
        while not _stands_by(stage):  # by chance it was given the partition: another one joins
            pass


def _stands_by(stage: Stage) -> bool:
    """Join as a second member; False if the partition became this one's."""
    wait_until(lambda: stage.shares("scenario") == [1])
    observer = ConsumerObserver("scenario")
    source = source_of(stage, observer, "scenario")
    try:
        wait_until(lambda: not source.poll(0.5) and stage.shares("scenario") == [0, 1])
        if source._consumer().assignment():
            return False
        wait_until(lambda: not source.poll(0.5) and source._asked_s > 0)
        assert observer.health.ready().ok
    finally:
        source.close()
    return True
