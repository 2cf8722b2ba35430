"""Topics that were re-created or repartitioned since the rows' positions were stored, on a real Kafka."""

import threading
from dataclasses import replace

import pytest

from services.consumers.main import consume
from services.errors import TopicChanged
from services.kafka.topics import create_topics, partition_of, topic_specs
from services.store.protocol import read_rows
from services.text.protocol import HashingEncoder
from tests.integration.consumer_harness import SCHEMA, TIMEOUT_S, Stage, clicks, folded, running
from tests.unit.consumers.streams import behavior_event
from tests.waiting import wait_until

pytestmark = pytest.mark.integration


def ended(stage: Stage, kind: str) -> BaseException | None:
    """The error with which a consumer ends by itself."""
    found: list[BaseException] = []

    def run() -> None:
        try:
            consume(kind, stage.settings, stage.store, threading.Event(), HashingEncoder)
        except TopicChanged as error:
            found.append(error)

    worker = threading.Thread(target=run)
    worker.start()
    worker.join(TIMEOUT_S)
    assert not worker.is_alive()
    return found[0] if found else None


def test_a_recreated_topic_is_rejected_until_its_epoch_is_raised(stage: Stage) -> None:
    """Its first records would look like duplicates; under a new epoch they are new."""
    stage.send([behavior_event(n) for n in range(3)])
    with running(stage, "behavior"):
        wait_until(lambda: folded(stage, "behavior"))
    topic = stage.topic("behavior")
    stage.admin.delete_topics([topic])
    wait_until(lambda: topic not in stage.admin.list_topics())
    create_topics(stage.settings.kafka.bootstrap_servers, topic_specs(stage.settings.kafka.topic_prefix))
    stage.send([behavior_event(n) for n in range(3, 5)])
    error = ended(stage, "behavior")
    assert "it was re-created" in str(error)
    assert 3.0 == pytest.approx(clicks(stage, "u0"), abs=1e-4)
    kafka = stage.settings.kafka.model_copy(update={"topic_epoch": 2})
    stage = replace(stage, settings=stage.settings.model_copy(update={"kafka": kafka}))
    with running(stage, "behavior"):
        wait_until(lambda: folded(stage, "behavior"))
    assert 5.0 == pytest.approx(clicks(stage, "u0"), abs=1e-4)


def test_the_activity_topic_has_the_partitions_of_the_broker(stage: Stage) -> None:
    """Another number in the settings changes nothing: a subject's deltas stay in their partition."""
    item = b"i3"
    homes = {count: partition_of(item, range(count)) for count in (3, 4)}
    assert homes[3] != homes[4]
    kafka = stage.settings.kafka.model_copy(update={"partitions": 3})
    stage = replace(stage, settings=stage.settings.model_copy(update={"kafka": kafka}))
    stage.send([behavior_event(0, item_id=item.decode())])
    with running(stage, "behavior"), running(stage, "activity"):
        wait_until(lambda: folded(stage, "behavior") and folded(stage, "activity"))
    (row,) = read_rows(stage.store, SCHEMA["item_activity"], [(item.decode(),)])
    assert row is not None
    assert homes[4] == row["position"][1]


def test_an_activity_topic_with_more_partitions_is_rejected_until_the_epoch_is_raised(stage: Stage) -> None:
    """Deltas sent before the new epoch wait for it; none is lost and none counts twice."""
    stage.send([behavior_event(0)])
    with running(stage, "behavior"):
        with running(stage, "activity"):
            wait_until(lambda: folded(stage, "behavior") and folded(stage, "activity"))
        stage.admin.create_partitions({stage.topic("activity"): 6})
        stage.send([behavior_event(1)])
        wait_until(lambda: folded(stage, "behavior"))
    assert "it has 6 partitions, the rows were folded from 4" in str(ended(stage, "activity"))
    kafka = stage.settings.kafka.model_copy(update={"topic_epoch": 2})
    stage = replace(stage, settings=stage.settings.model_copy(update={"kafka": kafka}))
    stage.send([behavior_event(2)])
    with running(stage, "behavior"), running(stage, "activity"):
        wait_until(lambda: folded(stage, "behavior") and folded(stage, "activity"))
    (row,) = read_rows(stage.store, SCHEMA["scenario_activity"], [("s0",)])
    assert row is not None
    assert 3.0 == pytest.approx(float(row["counts"].max()), abs=1e-4)


def test_deltas_wait_while_the_activity_topic_lacks_their_partition(stage: Stage) -> None:
    """For example after a re-creation with fewer partitions: nothing is committed until a restart, nothing is lost."""
    soon = stage.settings.consumers.model_copy(update={"transaction_timeout_ms": 5_000})
    stage = replace(stage, settings=stage.settings.model_copy(update={"consumers": soon}))
    stage.send([behavior_event(0)])
    topic, bootstrap = stage.topic("activity"), stage.settings.kafka.bootstrap_servers
    with running(stage, "behavior"):
        wait_until(lambda: folded(stage, "behavior"))
        stage.admin.delete_topics([topic])
        wait_until(lambda: topic not in stage.admin.list_topics())
        (spec,) = (spec for spec in topic_specs(stage.settings.kafka.topic_prefix) if spec.name == topic)
        create_topics(bootstrap, [replace(spec, partitions=1)])
        stage.send([behavior_event(n, item_id=f"i{n}") for n in range(1, 9)])
        wait_until(lambda: clicks(stage, "u0") > 8.9)
    assert not folded(stage, "behavior")
    with running(stage, "behavior"), running(stage, "activity"):
        wait_until(lambda: folded(stage, "behavior") and folded(stage, "activity"))
    rows = read_rows(stage.store, SCHEMA["item_activity"], [(f"i{n}",) for n in range(1, 9)])
    assert [1.0] * 8 == pytest.approx([float(row["counts"].max()) for row in rows if row], abs=1e-4)


def test_a_topic_with_more_partitions_is_rejected(stage: Stage) -> None:
    """Keys have moved to partitions whose offsets cannot be compared with those of their rows."""
    stage.send([behavior_event(0)])
    with running(stage, "behavior"):
        wait_until(lambda: folded(stage, "behavior"))
    stage.admin.create_partitions({stage.topic("behavior"): 6})
    assert "it has 6 partitions, the rows were folded from 4" in str(ended(stage, "behavior"))
