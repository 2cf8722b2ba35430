"""Records that cannot be folded, on every topic of a real Kafka, and fenced writes on a real Valkey."""

import threading
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from kafka import KafkaConsumer, KafkaProducer, TopicPartition

from crossrec.events.v1.activity_pb2 import ActivityDelta, ActivityDeltas
from crossrec.events.v1.events_pb2 import BehaviorEvent, Entry, ItemUpdate, ScenarioUpdate
from services.consumers.main import consume
from services.events.codec import encode
from services.features.rows import Row, pack_rows
from services.features.schema import Schema, build_schema
from services.infra.commands import Endpoints
from services.kafka.topics import create_topics, topic_specs
from services.settings.infrastructure import KafkaSettings, StoreSettings
from services.settings.load import Settings
from services.settings.processes import CONSUMED_TOPICS, ConsumerSettings
from services.store.connect import open_rows
from services.store.protocol import FencedWrite, RowStore, read_rows
from services.text.protocol import HashingEncoder
from tests.unit.consumers.streams import ANY_AGE
from tests.waiting import wait_until

pytestmark = pytest.mark.integration

DEADLINE_S = 300.0


@dataclass
class System:
    """Topics, a store and consumers of one test."""

    settings: Settings
    schema: Schema
    store: RowStore
    producer: KafkaProducer

    def send(self, topic: str, value: bytes, headers: list[tuple[str, bytes]], key: bytes = b"k") -> int:
        """Store a record in partition 0; returns its offset."""
        name = f"{self.settings.kafka.topic_prefix}.{topic}"
        sent = self.producer.send(name, value=value, key=key, headers=headers, partition=0)
        return int(sent.get(timeout=300).offset)

    def row(self, view: str, *key: str) -> Row | None:
        """A row, if there is one."""
        return read_rows(self.store, self.schema[view], [key])[0]


@pytest.fixture
def system(infra: Endpoints, tmp_path: Path) -> Iterator[System]:
    """Own topics and an own Feast project on the shared servers."""
    name = f"poison-{uuid.uuid4().hex[:8]}"
    settings = Settings(
        kafka=KafkaSettings(bootstrap_servers=infra.kafka_bootstrap, topic_prefix=name),
        store=StoreSettings(
            url=infra.valkey_address, project=name.replace("-", "_"), registry=tmp_path / "r.db", offline_dir=tmp_path
        ),
        consumers=ConsumerSettings(group_prefix=name, unregistered_scenarios="accept"),
        gateway=ANY_AGE,
    )
    create_topics(infra.kafka_bootstrap, topic_specs(name))
    producer = KafkaProducer(bootstrap_servers=infra.kafka_bootstrap, acks="all")
    try:
        yield System(settings, build_schema(settings.features), open_rows(settings), producer)
    finally:
        producer.close()


def good(kind: str, schema: Schema) -> tuple[bytes, list[tuple[str, bytes]]]:
    """A valid record."""
    entry = Entry()
    match kind:
        case "behavior":
            event = BehaviorEvent(event_id="e", user_id="u", scenario_id="tv", type="EVENT_TYPE_CLICK", item_id="i")
            event.time.FromSeconds(1_700_000_000)
            entry.behavior_event.CopyFrom(event)
        case "item":
            entry.item_update.CopyFrom(ItemUpdate(item_id="i", title="tea"))
            entry.item_update.time.FromSeconds(1_700_000_000)
        case "scenario":
            entry.scenario_update.CopyFrom(ScenarioUpdate(scenario_id="tv", name="TV"))
            entry.scenario_update.time.FromSeconds(1_700_000_000)
        case _:
            fingerprint = schema.fingerprint % 2**64
            counts = [1.0] * schema.count_length
            delta = ActivityDelta(
                item_id="i",
                time_s=1.7e9,
                counts=counts,
                returning=[0.0] * 3,
                paid=[0.0] * 2,
                opinions=[0.0] * schema.config.opinion_width,
                schema_fingerprint=fingerprint,
            )
            return ActivityDeltas(deltas=[delta]).SerializeToString(), []
    return encode(entry)


FOLDED = {
    "behavior": ("user", "u"),
    "item": ("item", "i"),
    "scenario": ("scenario", "tv"),
    "activity": ("item_activity", "i"),
}


@pytest.mark.parametrize("kind", FOLDED)
def test_poison_goes_to_dead_letters_and_the_next_record_is_folded(system: System, kind: str) -> None:
    """The dead letter holds the unchanged record, with reason, topic, partition and offset in its headers."""
    topic = CONSUMED_TOPICS[kind]
    offset = system.send(
        topic, b"\xff\x00 not a message", [("content-type", b"application/x-protobuf"), ("who", b"me")]
    )
    system.send(topic, *good(kind, system.schema))
    stop = threading.Event()
    worker = threading.Thread(target=consume, args=(kind, system.settings, system.store, stop, HashingEncoder))
    worker.start()
    try:
        wait_until(lambda: system.row(*FOLDED[kind]) is not None)
        (dead_letter,) = dead_letters(system, 1)
    finally:
        stop.set()
        worker.join(DEADLINE_S)
    headers = dict(dead_letter.headers)
    prefix = system.settings.kafka.topic_prefix
    assert (b"\xff\x00 not a message", b"k") == (dead_letter.value, dead_letter.key)
    assert (f"{prefix}.{topic}".encode(), b"0", str(offset).encode()) == tuple(
        headers[name] for name in ("topic", "partition", "offset")
    )
    assert headers["reason"]
    assert b"me" == headers["original-who"]


def dead_letters(system: System, count: int) -> list[object]:
    """The committed dead letters, once there are `count`."""
    kafka = system.settings.kafka
    consumer = KafkaConsumer(bootstrap_servers=kafka.bootstrap_servers, isolation_level="read_committed")
    try:
        partition = TopicPartition(f"{kafka.topic_prefix}.dead-letter", 0)
        consumer.assign([partition])
        consumer.seek_to_beginning(partition)
        found: list[object] = []

        def enough() -> bool:
            found.extend(record for records in consumer.poll(timeout_ms=200).values() for record in records)
            return len(found) >= count

        wait_until(enough)
        return found
    finally:
        consumer.close()


def test_json_records_are_folded(system: System) -> None:
    """Canonical protobuf JSON is decoded if the content-type header names it."""
    text = (
        '{"behaviorEvent": {"eventId": "j", "userId": "u", "scenarioId": "tv", "type": "EVENT_TYPE_CLICK", '
        '"itemId": "i", "time": "2024-01-01T00:00:00Z"}}'
    )
    system.send("behavior", text.encode(), [("content-type", b"application/json")])
    stop = threading.Event()
    worker = threading.Thread(target=consume, args=("behavior", system.settings, system.store, stop, HashingEncoder))
    worker.start()
    try:
        wait_until(lambda: system.row("user_scenario", "u", "tv") is not None)
    finally:
        stop.set()
        worker.join(DEADLINE_S)
    assert not worker.is_alive()


def test_older_positions_are_fenced_in_the_store(system: System) -> None:
    """A writer whose position is older changes nothing; an equal one may write again; a newer epoch always may."""
    view = system.schema["item_scenario"]

    def write(epoch: int, offset: int, updated_s: float) -> None:
        block = pack_rows(view, [None])
        position, schema = block.ints("position"), block.ints("schema")
        position[:], schema[:] = (epoch, 0, offset), system.schema.fingerprint
        block.floats("updated_s")[:] = updated_s
        system.store.write([("i", "tv")], block)

    write(1, 5, 50.0)
    write(1, 5, 55.0)
    with pytest.raises(FencedWrite):
        write(1, 4, 40.0)
    row = system.row("item_scenario", "i", "tv")
    assert row is not None
    assert 55.0 == row["updated_s"]
    write(2, 0, 60.0)
    with pytest.raises(FencedWrite):
        write(1, 9, 90.0)
