"""The gateway in front of a real Kafka: accepted entries are in the right topic, partition and order."""

import json
import os
import signal
import socket
import subprocess
import sys
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf import json_format

from crossrec.events.v1.events_pb2 import (
    EVENT_TYPE_CLICK,
    BehaviorEvent,
    Entry,
    ItemScenarioUpdate,
    ItemUpdate,
    PublishRequest,
    ScenarioUpdate,
    UserErasure,
)
from crossrec.events.v1.events_pb2_grpc import EventServiceStub
from services.events.codec import decode
from services.infra.commands import Endpoints
from services.kafka.kafka_publisher import KafkaPublisher
from services.kafka.publisher import OutgoingRecord, Publisher
from services.kafka.topics import create_topics, partition_numbers, partition_of, topic_specs
from tests.contract.event_gateway import INTAKE_CONFIG, Gateway, running
from tests.unit.kafka.publisher_suite import PublisherSuite, outcomes

pytestmark = pytest.mark.integration

PARTITIONS = 4


@pytest.fixture
def prefix(infra: Endpoints) -> str:
    """Topics of this test's own."""
    prefix = f"gateway-{uuid.uuid4().hex[:8]}"
    create_topics(infra.kafka_bootstrap, topic_specs(prefix, PARTITIONS))
    return prefix


@pytest.fixture
def publisher(infra: Endpoints) -> Iterator[KafkaPublisher]:
    publisher = KafkaPublisher(infra.kafka_bootstrap, 20.0)
    yield publisher
    publisher.close(10.0)


@pytest.fixture
def gateway(publisher: KafkaPublisher, prefix: str) -> Iterator[Gateway]:
    with running(publisher, replace(INTAKE_CONFIG, topic_prefix=prefix, kafka_timeout_s=20.0)) as gateway:
        yield gateway


def stored(infra: Endpoints, topic: str) -> list[Any]:
    """All records of the topic now, by partition and offset."""
    from kafka import KafkaConsumer, TopicPartition

    with KafkaConsumer(bootstrap_servers=infra.kafka_bootstrap, auto_offset_reset="earliest") as consumer:
        partitions = [TopicPartition(topic, number) for number in partition_numbers(infra.kafka_bootstrap, topic)]
        consumer.assign(partitions)
        ends = consumer.end_offsets(partitions)
        found: dict[Any, list[Any]] = {partition: [] for partition in partitions}
        while any(consumer.position(partition) < ends[partition] for partition in partitions):
            for partition, records in consumer.poll(timeout_ms=1000).items():
                found[partition] += records
    return [record for partition in partitions for record in found[partition]]


class TestKafkaPublisher(PublisherSuite):
    """The real publisher behaves as the fake does."""

    @pytest.fixture(autouse=True)
    def _remember(self, infra: Endpoints) -> None:
        self.infra = infra

    @pytest.fixture
    def topic(self, prefix: str) -> str:
        return f"{prefix}.behavior"

    def stored(self, publisher: Publisher, topic: str) -> list[tuple[bytes, bytes]]:
        del publisher
        return [(record.key, record.value) for record in stored(self.infra, topic)]


def published(publisher: Publisher, records: list[OutgoingRecord]) -> list[Exception | None]:
    return outcomes(publisher.send(records, 20.0), 20.0)


def entry_of(record: Any) -> Entry:
    return decode(record.value, record.headers)


def click(user: int, number: int) -> Entry:
    return Entry(
        behavior_event=BehaviorEvent(
            event_id=f"{user}-{number}", user_id=f"user-{user}", scenario_id="tv", type=EVENT_TYPE_CLICK, item_id="i"
        )
    )


def test_every_kind_is_in_its_topic_under_its_key(gateway: Gateway, infra: Endpoints, prefix: str) -> None:
    """Also the entries around a rejected one; the rejected one is not stored."""
    results = gateway.publish(
        click(1, 1),
        Entry(user_erasure=UserErasure(user_id="user-1")),
        Entry(item_update=ItemUpdate()),
        Entry(item_update=ItemUpdate(item_id="i", title="Tea")),
        Entry(item_scenario_update=ItemScenarioUpdate(item_id="i", scenario_id="tv")),
        Entry(scenario_update=ScenarioUpdate(scenario_id="tv")),
    )
    assert [result.WhichOneof("result") for result in results].count("rejected") == 1
    expected = {
        "behavior": [(b"user-1", "behavior_event"), (b"user-1", "user_erasure")],
        "items": [(b"i", "item_update"), (b"i\x1ftv", "item_scenario_update")],
        "scenarios": [(b"tv", "scenario_update")],
    }
    for suffix, records in expected.items():
        found = stored(infra, f"{prefix}.{suffix}")
        assert [(record.key, entry_of(record).WhichOneof("entry")) for record in found] == records


def test_a_users_events_keep_their_order_in_one_partition(gateway: Gateway, infra: Endpoints, prefix: str) -> None:
    """Over several batches, with many users between each other."""
    users, rounds, per_batch = 20, 5, 10
    for start in range(0, rounds * per_batch, per_batch):
        gateway.publish(*[click(user, start + number) for number in range(per_batch) for user in range(users)])

    partitions: dict[bytes, set[int]] = {}
    numbers: dict[bytes, list[int]] = {}
    for record in stored(infra, f"{prefix}.behavior"):
        partitions.setdefault(record.key, set()).add(record.partition)
        numbers.setdefault(record.key, []).append(int(entry_of(record).behavior_event.event_id.partition("-")[2]))
    assert len(partitions) == users
    assert all(found == {partition_of(key, set(range(PARTITIONS)))} for key, found in partitions.items())
    assert all(found == list(range(rounds * per_batch)) for found in numbers.values())
    assert len(set.union(*partitions.values())) == PARTITIONS


def test_an_item_and_its_scenarios_share_a_partition(gateway: Gateway, infra: Endpoints, prefix: str) -> None:
    """The one that Kafka's own partitioner gives the item's id."""
    from kafka.partitioner.default import murmur2

    items = [f"item-{number}" for number in range(30)]
    gateway.publish(
        *[Entry(item_update=ItemUpdate(item_id=item)) for item in items],
        *[
            Entry(item_scenario_update=ItemScenarioUpdate(item_id=item, scenario_id=scenario))
            for item in items
            for scenario in ("tv", "shelf")
        ],
    )
    found = stored(infra, f"{prefix}.items")
    assert len(found) == 90
    for record in found:
        item_id = record.key.partition(b"\x1f")[0]
        assert record.partition == (murmur2(item_id) & 0x7FFFFFFF) % PARTITIONS


def test_kafkas_own_partitioner_agrees(infra: Endpoints, publisher: KafkaPublisher, prefix: str) -> None:
    """A record of another producer with the same key is in the same partition as the gateway's."""
    from kafka import KafkaProducer

    topic, keys = f"{prefix}.behavior", [f"ключ-{number}".encode() for number in range(50)]
    with KafkaProducer(bootstrap_servers=infra.kafka_bootstrap) as producer:
        theirs = [producer.send(topic, b"", key).get(10).partition for key in keys]
    assert theirs == [partition_of(key, set(range(PARTITIONS))) for key in keys]
    assert published(publisher, [OutgoingRecord(topic, key, key, b"", []) for key in keys]) == [None] * 50


def test_json_records_of_other_producers_decode(infra: Endpoints, publisher: KafkaPublisher, prefix: str) -> None:
    """A backend may write JSON straight to Kafka, marked by its header."""
    topic, value = f"{prefix}.behavior", json_format.MessageToJson(click(1, 1)).encode()
    record = OutgoingRecord(topic, b"user-1", b"user-1", value, [("content-type", b"application/json")])
    assert published(publisher, [record]) == [None]
    (found,) = stored(infra, topic)
    assert entry_of(found) == click(1, 1)


def test_entries_acknowledged_to_concurrent_callers_are_stored_once(
    gateway: Gateway, infra: Endpoints, prefix: str
) -> None:
    """No acknowledged entry is missing or stored twice."""

    def publish(user: int) -> list[str]:
        results = [gateway.publish(*[click(user, start + number) for number in range(50)]) for start in (0, 50)]
        return [result.accepted.event_id for batch in results for result in batch]

    with ThreadPoolExecutor(8) as pool:
        acknowledged = [event_id for ids in pool.map(publish, range(8)) for event_id in ids]
    found = [entry_of(record).behavior_event.event_id for record in stored(infra, f"{prefix}.behavior")]
    assert sorted(found) == sorted(acknowledged)
    assert len(found) == 800


def test_a_missing_topic_is_unavailable_and_not_created(infra: Endpoints) -> None:
    """An automatically created topic would have the wrong partitions; the gateway waits for the real one."""
    from kafka.admin import KafkaAdminClient

    publisher = KafkaPublisher(infra.kafka_bootstrap, 1.0)
    with running(publisher, replace(INTAKE_CONFIG, topic_prefix="nowhere", kafka_timeout_s=1.0)) as gateway:
        with pytest.raises(grpc.RpcError) as caught:
            gateway.publish(click(1, 1))
        assert caught.value.code() == grpc.StatusCode.UNAVAILABLE
    publisher.close(5.0)
    with KafkaAdminClient(bootstrap_servers=infra.kafka_bootstrap) as admin:
        assert "nowhere.behavior" not in admin.list_topics()


def test_a_record_that_kafka_rejects_does_not_affect_later_ones(
    infra: Endpoints, publisher: KafkaPublisher, prefix: str
) -> None:
    """Kafka's client stops sending after a permanent error; the publisher continues with a new one."""
    topic = f"{prefix}.items"
    keyless = OutgoingRecord(topic, None, b"i", b"v", [])  # type: ignore[arg-type]  # compacted topics reject it
    (refused,) = published(publisher, [keyless])
    assert refused is not None
    assert published(publisher, [OutgoingRecord(topic, b"i", b"i", b"v", [])]) == [None]
    assert [record.key for record in stored(infra, topic)] == [b"i"]


def test_a_record_too_large_for_its_topic_is_rejected_and_stops_nobody(
    infra: Endpoints, publisher: KafkaPublisher, prefix: str
) -> None:
    """Also the first one, before the topic's setting is known; from the first check on none reaches the broker."""
    from kafka.admin import ConfigResource, ConfigResourceType, KafkaAdminClient

    with KafkaAdminClient(bootstrap_servers=infra.kafka_bootstrap) as admin:
        small = ConfigResource(ConfigResourceType.TOPIC, f"{prefix}.items", {"max.message.bytes": "5000"})
        assert "OK" == admin.alter_configs([small])["topic"][f"{prefix}.items"]
    large = Entry(item_update=ItemUpdate(item_id="i", event_id="large", description="x" * 10_000))
    item = Entry(item_update=ItemUpdate(item_id="i", event_id="small", description="x" * 4_000))
    config = replace(INTAKE_CONFIG, topic_prefix=prefix, kafka_timeout_s=20.0)
    with running(publisher, config) as gateway:
        (first,) = gateway.publish(large)
        assert "entry" == first.rejected.field
        assert f"topic {prefix}.items takes at most" in first.rejected.reason
        assert ["accepted"] * 2 == [result.WhichOneof("result") for result in gateway.publish(item, click(1, 1))]
        publisher.check(20.0)
        producer = publisher._connection
        results = gateway.publish(large, click(1, 2), item, large)
        assert ["rejected", "accepted", "accepted", "rejected"] == [result.WhichOneof("result") for result in results]
        assert "takes at most 5000 (max.message.bytes)" in results[0].rejected.reason
        assert producer is publisher._connection, "the large ones did not reach the brokers"
    assert [b"i", b"i"] == [record.key for record in stored(infra, f"{prefix}.items")]


def test_without_a_broker_the_answer_is_unavailable() -> None:
    """Within the time-out, also when the caller's deadline is shorter; nothing is acknowledged."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # bound and not listening: connections are refused
        publisher = KafkaPublisher(f"127.0.0.1:{unused.getsockname()[1]}", 0.5)
        with running(publisher, replace(INTAKE_CONFIG, kafka_timeout_s=0.5)) as gateway:
            gateway.publish(Entry())  # rejected, and the channel is up
            for timeout in (30, 0.4):
                with pytest.raises(grpc.RpcError) as caught:
                    gateway.stub.Publish(PublishRequest(entries=[click(1, 1)]), timeout=timeout)
                assert caught.value.code() == grpc.StatusCode.UNAVAILABLE
                assert "1 of 1 entries" in caught.value.details()
        publisher.close(1.0)


def test_the_process_serves_and_ends_on_sigterm(infra: Endpoints, prefix: str, tmp_path: Path) -> None:
    """Settings in, one JSON line with the address out, exit status 0 after the signal; no id in the log."""
    log = tmp_path / "log"
    environment = {
        **os.environ,
        "CROSSREC_KAFKA__BOOTSTRAP_SERVERS": infra.kafka_bootstrap,
        "CROSSREC_KAFKA__TOPIC_PREFIX": prefix,
        "CROSSREC_GATEWAY__LISTEN": "127.0.0.1:0",
    }
    start = "from services.gateway.main import run_gateway; from services.settings.load import Settings; "
    command = [sys.executable, "-c", start + "run_gateway(Settings())"]
    with log.open("w") as stderr, subprocess.Popen(command, env=environment, stderr=stderr) as process:
        try:
            with grpc.insecure_channel(_address(process, log)) as channel:
                request = PublishRequest(entries=[click(1, 1)])
                EventServiceStub(channel).Publish(request, timeout=300, wait_for_ready=True)
        finally:
            process.send_signal(signal.SIGTERM)
        assert process.wait(300) == 0
    assert [json.loads(line)["event"] for line in log.read_text().splitlines()] == [
        "server_protection",
        "gateway_started",
        "gateway_serving",
        "gateway_stopped",
    ]
    assert "user-1" not in log.read_text()
    assert len(stored(infra, f"{prefix}.behavior")) == 1


def _address(process: subprocess.Popen[bytes], log: Path) -> str:
    while process.poll() is None:
        lines = [json.loads(line) for line in log.read_text().splitlines(keepends=True) if line.endswith("\n")]
        if started := [line for line in lines if line["event"] == "gateway_started"]:
            return str(started[0]["address"])
    raise AssertionError(log.read_text())
