"""Runs behaviour consumers as one group over events that become visible at once, and reads their timings.

Knows processes and the group's offsets; ingest.py computes the results.
"""

import json
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import Any

from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import KafkaAdminClient
from kafka.errors import KafkaError

from crossrec.events.v1.events_pb2 import Entry
from export.harness.environment import HarnessError
from export.harness.stage import PRODUCER_BATCH_BYTES, DatasetStage
from services.events.codec import encode
from services.events.routing import route_entry, topic_name
from services.kafka.connection import kafka_arguments
from services.kafka.groups import STABLE, GroupAdmin
from services.settings.processes import CONSUMED_TOPICS

TIMEOUT_S = 900.0
"""Time-out of joining and of folding, seconds."""

CHUNK = 20_000
"""Events that the producer buffers at once."""

CHECK_INTERVAL_S = 0.2

CommitSamples = list[dict[str, Any]]
"""Timings that one consumer logged after each commit."""


@dataclass(frozen=True)
class ConsumerGroup:
    """A consumer group whose members have joined.

    Args:
        stage: its environment and settings.
        names: names of the consumer processes.
        admin: Kafka admin client.
    """

    stage: DatasetStage
    names: list[str]
    admin: KafkaAdminClient

    def fold(self, entries: Iterable[Entry]) -> list[CommitSamples]:
        """Let the consumers fold entries, which become visible at once; returns the timings of each consumer."""
        with transaction(self.stage) as producer:
            append_entries(self.stage, producer, entries)
            begin_s = time.perf_counter()
        end = _end_offset(self.stage)
        self._wait(lambda: self._committed() >= end, "fold all events")
        samples = [self._lines(name) for name in self.names]
        return [[line for line in lines if line["wall_s"] > begin_s] for lines in samples]

    def wait_until_joined(self) -> None:
        """Wait until every consumer has partitions."""
        self._wait(self._has_joined, "join")

    def _has_joined(self) -> bool:
        try:
            group = GroupAdmin(self.admin).describe(self._id)
        except KafkaError:
            return False
        return group.state == STABLE and len([m for m in group.members if m.partitions]) == len(self.names)

    def _committed(self) -> int:
        topic = f"{self.stage.settings.kafka.topic_prefix}.behavior"
        return sum(GroupAdmin(self.admin).committed_offsets(self._id, topic).values())

    @property
    def _id(self) -> str:
        return f"{self.stage.settings.group_prefix}-behavior"

    def _lines(self, name: str) -> CommitSamples:
        path = self.stage.environment.out / f"{name}.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()]

    def _wait(self, condition: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + TIMEOUT_S
        while not condition():
            self.stage.environment.processes.check()
            if time.monotonic() > deadline:
                raise HarnessError(f"the consumers did not {what} within {TIMEOUT_S:g} s")
            time.sleep(CHECK_INTERVAL_S)


@contextmanager
def running_consumers(stage: DatasetStage, consumers: int) -> Iterator[ConsumerGroup]:
    """Start behaviour consumers, wait until all have partitions, and stop them at exit."""
    processes, prefix = stage.environment.processes, stage.settings.group_prefix
    names = [f"{prefix}-{number}" for number in range(consumers)]
    for name in names:
        lines = stage.environment.out / f"{name}.jsonl"
        processes.start_python(name, "-W", "ignore", "-m", "tests.bench.timed_consumer", str(lines))
    with KafkaAdminClient(**kafka_arguments(stage.settings.kafka)) as admin:
        group = ConsumerGroup(stage, names, admin)
        group.wait_until_joined()
        yield group
    for name in names:
        processes.stop_one(name)


@contextmanager
def transaction(stage: DatasetStage) -> Iterator[KafkaProducer]:
    """A transactional producer; its records become visible when the context ends."""
    with KafkaProducer(
        **kafka_arguments(stage.settings.kafka),
        transactional_id=f"{stage.settings.group_prefix}-bench",
        transaction_timeout_ms=int(TIMEOUT_S * 1000),
        acks="all",
        linger_ms=20,
        batch_size=PRODUCER_BATCH_BYTES,
    ) as producer:
        producer.init_transactions()
        producer.begin_transaction()
        yield producer
        producer.commit_transaction()


def append_entries(stage: DatasetStage, producer: KafkaProducer, entries: Iterable[Entry]) -> None:
    """Send entries to their topics as the gateway does, in chunks."""
    prefix, remaining = stage.settings.kafka.topic_prefix, iter(entries)
    while chunk := list(islice(remaining, CHUNK)):
        futures = []
        for entry in chunk:
            target = route_entry(entry)
            value, headers = encode(entry)
            futures.append(producer.send(topic_name(prefix, target.suffix), value, target.key, headers))
        producer.flush()
        for future in futures:
            future.get(timeout=0)


def _end_offset(stage: DatasetStage) -> int:
    """End offsets of the behaviour topic, summed; includes transaction markers."""
    kafka = stage.settings.kafka
    topic = topic_name(kafka.topic_prefix, CONSUMED_TOPICS["behavior"])
    with KafkaConsumer(**kafka_arguments(kafka)) as consumer:
        partitions = [TopicPartition(topic, number) for number in consumer.partitions_for_topic(topic)]
        return int(sum(consumer.end_offsets(partitions).values()))
