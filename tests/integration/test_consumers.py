"""Consumers on a real Kafka and a real Valkey: shared partitions, stops, crashes; rows through Feast and back."""

import os
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import KafkaAdminClient
from kafka.errors import GroupIdNotFoundError, RetriableError

from crossrec.events.v1.events_pb2 import Entry, EventType
from services.consumers.kinds import TOPICS
from services.consumers.main import consume
from services.events.codec import encode
from services.events.routing import route_entry
from services.features.config import FeatureConfig
from services.features.rows import Block, Row, pack_rows
from services.features.schema import SCALAR, VARIABLE, Feature, View, build_schema
from services.infra.commands import Endpoints
from services.kafka.topics import create_topics, topic_specs
from services.settings.infrastructure import KafkaSettings, StoreSettings
from services.settings.load import Settings
from services.settings.processes import ConsumerSettings
from services.store.connect import open_rows_for_batches
from services.store.protocol import Key, ReadRequest, RowStore, read_rows
from services.text.protocol import HashingEncoder
from tests.unit.consumers.streams import (
    ACTIVITY,
    ANY_AGE,
    assert_rows,
    behavior,
    behavior_event,
    erasure,
    fold_catalogue,
    item_update,
    replayed,
)

pytestmark = pytest.mark.integration

PATIENCE_S = 60.0
SCHEMA = build_schema(FeatureConfig())
UPDATES = [item_update(item, attributes={}) for item in range(20)]
USER_VIEWS = ("user", "user_scenario")
DEAD = -9
"""Exit status of a process that SIGKILL ended."""

UNKNOWN_GROUP = (GroupIdNotFoundError, RetriableError)
"""What Kafka answers before the first member has joined, and while it comes up."""


@dataclass
class Stage:
    """Topics, a Feast project and consumer groups of one test's own."""

    settings: Settings
    store: RowStore
    producer: KafkaProducer
    admin: KafkaAdminClient

    def topic(self, kind: str) -> str:
        return f"{self.settings.kafka.topic_prefix}.{TOPICS[kind]}"

    def group(self, kind: str) -> str:
        return f"{self.settings.consumers.group_prefix}-{kind}"

    def send(self, entries: Sequence[Entry]) -> None:
        """Store entries in their topics, spread by key as every producer does."""
        for entry in entries:
            way = route_entry(entry)
            value, headers = encode(entry)
            self.producer.send(f"{self.settings.kafka.topic_prefix}.{way.suffix}", value, way.key, headers)
        self.producer.flush(timeout=30)

    def committed(self, kind: str) -> int:
        """How many offsets the group has committed, over all partitions."""
        try:
            offsets = self.admin.list_group_offsets([self.group(kind)])[self.group(kind)]
        except UNKNOWN_GROUP:
            return 0
        return sum(max(at.offset, 0) for at in offsets.values())

    def end(self, kind: str) -> int:
        """How many offsets the topic has given away."""
        topic = self.topic(kind)
        with KafkaConsumer(bootstrap_servers=self.settings.kafka.bootstrap_servers) as consumer:
            partitions = [TopicPartition(topic, number) for number in consumer.partitions_for_topic(topic)]
            return sum(consumer.end_offsets(partitions).values())

    def shares(self, kind: str) -> list[int]:
        """How many partitions each member of the group has; empty while they are being handed out."""
        try:
            described = self.admin.describe_groups([self.group(kind)])[self.group(kind)]
        except UNKNOWN_GROUP:
            return []
        if described["group_state"] != "Stable":
            return []
        assigned = [member["member_assignment"]["assigned_partitions"] for member in described["members"]]
        return sorted(sum(len(topic["partitions"]) for topic in topics) for topics in assigned)

    def variables(self) -> dict[str, str]:
        """The settings as a process takes them."""
        kafka, store, consumers = self.settings.kafka, self.settings.store, self.settings.consumers
        return {
            "CROSSREC_KAFKA__BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
            "CROSSREC_KAFKA__TOPIC_PREFIX": kafka.topic_prefix,
            "CROSSREC_STORE__URL": store.url,
            "CROSSREC_STORE__PROJECT": store.project,
            "CROSSREC_STORE__REGISTRY": str(store.registry),
            "CROSSREC_GATEWAY__MAX_AGE_HALF_LIVES": "0",
            "CROSSREC_CONSUMERS__GROUP_PREFIX": consumers.group_prefix,
            "CROSSREC_CONSUMERS__MAX_POLL_RECORDS": str(consumers.max_poll_records),
            "CROSSREC_CONSUMERS__TRANSACTION_TIMEOUT_MS": str(consumers.transaction_timeout_ms),
        }


@contextmanager
def staged(
    infra: Endpoints, directory: Path, features: FeatureConfig = SCHEMA.config, **consumers: float
) -> Iterator[Stage]:
    """Small batches, so that there are many borders; transactions that time out later than any test waits."""
    name = f"consumers-{uuid.uuid4().hex[:8]}"
    chosen = {"max_poll_records": 20, "transaction_timeout_ms": 90_000} | consumers
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
    create_topics(infra.kafka_bootstrap, topic_specs(name))
    with (
        KafkaProducer(bootstrap_servers=infra.kafka_bootstrap, acks="all") as producer,
        KafkaAdminClient(bootstrap_servers=infra.kafka_bootstrap) as admin,
    ):
        yield Stage(settings, open_rows_for_batches(settings), producer, admin)


@pytest.fixture
def stage(infra: Endpoints, tmp_path: Path) -> Iterator[Stage]:
    with staged(infra, tmp_path) as stage:
        yield stage


def until(condition: Callable[[], bool]) -> None:
    """Wait until the condition holds; fails after PATIENCE_S seconds."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        threading.Event().wait(0.02)


@contextmanager
def running(stage: Stage, kind: str, store: RowStore | None = None) -> Iterator[threading.Event]:
    """A consumer in a thread; yields what stops it. It must end by itself once stopped."""
    stop = threading.Event()
    arguments = (kind, stage.settings, store or stage.store, stop, HashingEncoder)
    worker = threading.Thread(target=consume, args=arguments)
    worker.start()
    try:
        yield stop
    finally:
        stop.set()
        worker.join(PATIENCE_S)
    assert not worker.is_alive()


class Gate:
    """A store whose next write of users' rows is held up until it may go on."""

    def __init__(self, store: RowStore) -> None:
        self._store = store
        self.reached, self.opened = threading.Event(), threading.Event()
        self.writes = 0

    def read_blocks(self, requests: Sequence[ReadRequest]) -> list[Block]:
        return self._store.read_blocks(requests)

    def write(self, keys: Sequence[Key], block: Block) -> None:
        if block.view.name in USER_VIEWS:
            self.reached.set()
            assert self.opened.wait(PATIENCE_S)
            self.writes += 1
        self._store.write(keys, block)

    def delete(self, view: View, keys: Sequence[Key], position: Sequence[int]) -> None:
        self._store.delete(view, keys, position)


def clicks(stage: Stage, user: str) -> float:
    """A user's clicks at the longest half-life."""
    (row,) = read_rows(stage.store, SCHEMA["user"], [(user,)])
    return 0.0 if row is None else float(row["counts"][len(SCHEMA.config.half_lives_s) * 2 - 1])


def folded(stage: Stage, kind: str) -> bool:
    """Whether the group has committed everything in its topic."""
    return stage.committed(kind) == stage.end(kind)


def test_two_consumers_share_the_partitions(stage: Stage) -> None:
    """Through a member that joins and one that leaves in mid-stream; every event counts once, in every row."""
    events = behavior(900, users=40)
    fold_catalogue(stage.store, UPDATES, SCHEMA)
    first, second = Gate(stage.store), Gate(stage.store)
    first.opened.set()
    second.opened.set()
    with running(stage, "activity"), running(stage, "behavior", second):
        with running(stage, "behavior", first):
            until(lambda: stage.shares("behavior") == [2, 2])
            stage.send(events[:300])
            until(lambda: stage.committed("behavior") >= 100)
            assert first.writes
            assert second.writes
            stage.send(events[300:700])
        stage.send(events[700:])
        until(lambda: stage.shares("behavior") == [4])
        with running(stage, "behavior"):
            until(lambda: folded(stage, "behavior"))
            until(lambda: folded(stage, "activity"))
    assert_rows(replayed(UPDATES, events, SCHEMA), stage.store, (*USER_VIEWS, *ACTIVITY), SCHEMA)


def test_a_stop_finishes_the_batch_and_hands_over_at_once(stage: Stage) -> None:
    """What was in hand is written and committed; a successor need not wait for the session to expire."""
    patient = stage.settings.consumers.model_copy(update={"session_timeout_ms": 45_000})
    stage = replace(stage, settings=stage.settings.model_copy(update={"consumers": patient}))
    store = Gate(stage.store)
    with running(stage, "behavior", store) as stop:
        stage.send([behavior_event(1)])
        assert store.reached.wait(PATIENCE_S)
        stop.set()
        store.opened.set()
    assert (1, 1.0) == (stage.committed("behavior"), clicks(stage, "u0"))
    stage.send([behavior_event(2)])
    begun = time.monotonic()
    with running(stage, "behavior"):
        until(lambda: clicks(stage, "u0") > 1.9)
        until(lambda: stage.committed("behavior") == 2)
    assert time.monotonic() - begun < 30


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
        child.wait(PATIENCE_S)


def test_killed_processes_leave_the_rows_of_a_single_fold(stage: Stage, tmp_path: Path) -> None:
    """Killed between two writes, in an open transaction, and in mid-stream; erasures and activity included."""
    events = behavior(1500, users=40)
    forgotten, place = "u3", 400
    # Who is forgotten is new to every item afterwards; a user of queries alone leaves the items' rows comparable.
    for event in (entry.behavior_event for entry in events):
        if event.user_id == forgotten:
            event.type = EventType.EVENT_TYPE_QUERY
            event.item_id, event.text = "", event.text or "tea"
            event.ClearField("value")
    fold_catalogue(stage.store, UPDATES, SCHEMA)
    stage.send([*events[:place], erasure(forgotten), *events[place:]])
    log = tmp_path / "consumer.log"
    with running(stage, "activity"):
        for moment, count in (("user_scenario", 5), ("transaction", 4)):
            before = stage.committed("behavior")
            with process(stage, log, moment, count) as child:
                assert DEAD == child.wait(PATIENCE_S), log.read_text()
            assert before < stage.committed("behavior") < len(events)
        with process(stage, log) as child:
            before = stage.committed("behavior")
            until(lambda: stage.committed("behavior") > before + 200)
            child.kill()
            assert DEAD == child.wait(PATIENCE_S)
        assert stage.committed("behavior") < len(events)
        with process(stage, log) as child:
            until(lambda: folded(stage, "behavior"))
            until(lambda: folded(stage, "activity"))
            child.terminate()
            assert 0 == child.wait(PATIENCE_S), log.read_text()
    left = [event for n, event in enumerate(events) if n >= place or event.behavior_event.user_id != forgotten]
    assert_rows(replayed(UPDATES, left, SCHEMA), stage.store, USER_VIEWS, SCHEMA)
    assert_rows(replayed(UPDATES, events, SCHEMA), stage.store, tuple(ACTIVITY), SCHEMA)


def value_of(feature: Feature, random: np.random.Generator) -> np.ndarray:
    """Any value that the feature may have: the largest keys, tiny and huge numbers, all kinds of text."""
    length = {VARIABLE: int(random.integers(0, 4)), SCALAR: 1}.get(feature.length, feature.length)
    match feature.dtype:
        case "float64":
            values = random.normal(size=length) * 10.0 ** random.integers(-300, 300, length)
        case "int64":
            values = random.integers(np.iinfo(np.int64).min, np.iinfo(np.int64).max, length, endpoint=True)
        case _:
            values = random.choice(np.array(["", "tea", "чай\x1f\n", "茶" * 300], object), length)
    return np.array(values[0], values.dtype) if feature.length == SCALAR else values


@pytest.mark.parametrize("view", SCHEMA.views, ids=lambda view: view.name)
def test_rows_come_back_as_they_were(view: View, stage: Stage) -> None:
    """To the bit, through Feast's values and back; among missing rows, also when they are written over and deleted."""
    random = np.random.default_rng(7)
    keys: list[Key] = [tuple(f"{name} {number} чай" for name in view.entities) for number in range(5)]
    nobody: Key = ("nobody",) * len(view.entities)
    for epoch in (1, 2):
        rows: list[Row] = []
        for number in range(len(keys)):
            row = {feature.name: value_of(feature, random) for feature in view.features}
            position, schema = np.array([epoch, 0, number]), np.array(SCHEMA.fingerprint)
            times = {name: np.array(1.7e9 + number) for name in ("time_s", "updated_s") if name in row}
            rows.append({**row, **times, "position": position, "schema": schema})
        stage.store.write(keys, pack_rows(view, rows))
        found = read_rows(stage.store, view, [nobody, *keys])
        assert found[0] is None
        for row, back in zip(rows, found[1:], strict=True):
            assert back is not None
            for name, value in row.items():
                assert (value.dtype, value.shape) == (back[name].dtype, back[name].shape)
                np.testing.assert_array_equal(value, back[name], err_msg=name)
    stage.store.delete(view, [nobody, *keys[:2]], (3, 0, 0))
    assert [True, True, False, False, False] == [row is None for row in read_rows(stage.store, view, keys)]
