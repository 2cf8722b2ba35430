"""The harness of consumer tests: topics and a store of their own, consumers in threads and processes."""

import os
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import KafkaAdminClient
from kafka.consumer.fetcher import ConsumerRecord
from kafka.errors import RetriableError

from crossrec.events.v1.events_pb2 import Entry
from services.consumers.main import consume
from services.events.codec import encode
from services.events.routing import route_entry
from services.features.config import FeatureConfig
from services.features.rows import Block
from services.features.schema import View, build_schema
from services.infra.commands import Endpoints
from services.kafka.groups import STABLE, GroupAdmin
from services.kafka.topics import create_topics, partition_numbers, topic_specs
from services.settings.infrastructure import KafkaSettings, StoreSettings
from services.settings.load import Settings
from services.settings.processes import CONSUMED_TOPICS, ConsumerSettings
from services.store.connect import open_rows_for_batches
from services.store.protocol import Key, ReadRequest, RowStore, read_rows
from services.text.protocol import HashingEncoder
from tests.unit.consumers.streams import ANY_AGE, item_update

TIMEOUT_S = 300.0
SCHEMA = build_schema(FeatureConfig())
UPDATES = [item_update(item, attributes={}) for item in range(20)]
USER_VIEWS = ("user", "user_scenario")
DEAD = -9
"""Exit status of a process ended by SIGKILL."""


@dataclass
class Stage:
    """Topics, a Feast project and consumer groups of one test's own."""

    settings: Settings
    store: RowStore
    producer: KafkaProducer
    admin: KafkaAdminClient

    def topic(self, kind: str) -> str:
        return f"{self.settings.kafka.topic_prefix}.{CONSUMED_TOPICS[kind]}"

    def group(self, kind: str) -> str:
        return self.settings.group(kind)

    def send(self, entries: Sequence[Entry]) -> None:
        """Store entries in their topics, spread by key as every producer does."""
        for entry in entries:
            way = route_entry(entry)
            value, headers = encode(entry)
            self.producer.send(f"{self.settings.kafka.topic_prefix}.{way.suffix}", value, way.key, headers)
        self.producer.flush(timeout=300)

    def committed(self, kind: str) -> int:
        """How many offsets the group has committed, over all partitions."""
        try:
            return sum(GroupAdmin(self.admin).committed_offsets(self.group(kind), self.topic(kind)).values())
        except RetriableError:  # tests ask while Kafka is down
            return 0

    def end(self, kind: str) -> int:
        """The sum of the end offsets of the topic's partitions."""
        topic = self.topic(kind)
        partitions = [TopicPartition(topic, number) for number in partition_numbers(self.settings.kafka, topic)]
        with KafkaConsumer(bootstrap_servers=self.settings.kafka.bootstrap_servers) as consumer:
            return sum(consumer.end_offsets(partitions).values())

    def shares(self, kind: str) -> list[int]:
        """How many partitions each member of the group has; empty during a rebalance."""
        try:
            described = GroupAdmin(self.admin).describe(self.group(kind))
        except RetriableError:  # tests ask while Kafka is down
            return []
        return sorted(len(member.partitions) for member in described.members) if described.state == STABLE else []

    def variables(self) -> dict[str, str]:
        """The settings as environment variables of a process."""
        kafka, store, consumers = self.settings.kafka, self.settings.store, self.settings.consumers
        return {
            "CROSSREC_KAFKA__BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
            "CROSSREC_KAFKA__TOPIC_PREFIX": kafka.topic_prefix,
            "CROSSREC_STORE__URL": store.url,
            "CROSSREC_STORE__PROJECT": store.project,
            "CROSSREC_STORE__REGISTRY": str(store.registry),
            "CROSSREC_GATEWAY__MAX_AGE_HALF_LIVES": "0",
            "CROSSREC_CONSUMERS__GROUP_PREFIX": consumers.group_prefix,
            "CROSSREC_CONSUMERS__UNREGISTERED_SCENARIOS": consumers.unregistered_scenarios,
            "CROSSREC_CONSUMERS__MAX_POLL_RECORDS": str(consumers.max_poll_records),
            "CROSSREC_CONSUMERS__TRANSACTION_TIMEOUT_MS": str(consumers.transaction_timeout_ms),
        }


@contextmanager
def staged(
    infra: Endpoints,
    directory: Path,
    features: FeatureConfig = SCHEMA.config,
    copies: int = 1,
    **consumers: float | str,
) -> Iterator[Stage]:
    """Small batches, so that there are many batch boundaries; transactions that time out later than any test waits."""
    name = f"consumers-{uuid.uuid4().hex[:8]}"
    # Most tests register no scenarios.
    given = {"max_poll_records": 20, "transaction_timeout_ms": 90_000, "unregistered_scenarios": "accept"}
    chosen = given | consumers
    settings = Settings(
        kafka=KafkaSettings(bootstrap_servers=infra.kafka_bootstrap, topic_prefix=name),
        store=StoreSettings(
            url=infra.valkey_address,
            project=name.replace("-", "_"),
            registry=directory / "r.db",
            offline_dir=directory,
        ),
        consumers=ConsumerSettings(group_prefix=name, **chosen),
        gateway=ANY_AGE,
        features=features,
    )
    create_topics(infra.kafka_bootstrap, topic_specs(name), copies)
    with (
        KafkaProducer(bootstrap_servers=infra.kafka_bootstrap, acks="all") as producer,
        KafkaAdminClient(bootstrap_servers=infra.kafka_bootstrap) as admin,
    ):
        yield Stage(settings, open_rows_for_batches(settings), producer, admin)


@contextmanager
def running(stage: Stage, kind: str, store: RowStore | None = None) -> Iterator[threading.Event]:
    """A consumer in a thread; yields its stop event. The thread must end once the event is set."""
    stop = threading.Event()
    arguments = (kind, stage.settings, store or stage.store, stop, HashingEncoder)
    worker = threading.Thread(target=consume, args=arguments)
    worker.start()
    try:
        yield stop
    finally:
        stop.set()
        worker.join(TIMEOUT_S)
    assert not worker.is_alive()


class BlockingStore:
    """A store whose writes of user rows block until `opened` is set."""

    def __init__(self, store: RowStore) -> None:
        self._store = store
        self.reached, self.opened = threading.Event(), threading.Event()
        self.writes = 0

    def read_blocks(self, requests: Sequence[ReadRequest]) -> list[Block]:
        return self._store.read_blocks(requests)

    def write(self, keys: Sequence[Key], block: Block) -> None:
        if block.view.name in USER_VIEWS:
            self.reached.set()
            assert self.opened.wait(TIMEOUT_S)
            self.writes += 1
        self._store.write(keys, block)

    def delete(self, view: View, keys: Sequence[Key], position: Sequence[int]) -> None:
        self._store.delete(view, keys, position)


def dead_letters(stage: Stage) -> list[ConsumerRecord]:
    """The committed records of the dead-letter topic."""
    kafka, found = stage.settings.kafka, list[ConsumerRecord]()
    partition = TopicPartition(f"{kafka.topic_prefix}.dead-letter", 0)
    with KafkaConsumer(bootstrap_servers=kafka.bootstrap_servers, isolation_level="read_committed") as consumer:
        consumer.assign([partition])
        consumer.seek_to_beginning(partition)
        end = consumer.end_offsets([partition])[partition]
        while consumer.position(partition) < end:
            found += consumer.poll(1000).get(partition, [])
    return found


def clicks(stage: Stage, user: str) -> float:
    """A user's clicks at the longest half-life."""
    (row,) = read_rows(stage.store, SCHEMA["user"], [(user,)])
    return 0.0 if row is None else float(row["counts"][len(SCHEMA.config.half_lives_s) * 2 - 1])


def folded(stage: Stage, kind: str) -> bool:
    """Whether the group has committed everything in its topic."""
    return stage.committed(kind) == stage.end(kind)


@contextmanager
def process(stage: Stage, log: Path, moment: str = "never", count: int = 1) -> Iterator[subprocess.Popen[bytes]]:
    """A behaviour consumer in a process of its own."""
    command = [sys.executable, "-W", "ignore", "-m", "tests.integration.crashing_consumer", moment, str(count)]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("CROSSREC_")}
    with log.open("ab") as output:
        child = subprocess.Popen(command, stdout=output, stderr=output, env=environment | stage.variables())
    try:
        yield child
    finally:
        child.terminate()
        child.wait(TIMEOUT_S)
