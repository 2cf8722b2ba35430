"""The suite of behaviours on a real Kafka and a real Valkey."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from crossrec.events.v1.events_pb2 import Entry
from services.consumers.observer import ConsumerObserver
from services.events.codec import encode
from services.events.routing import route_entry
from services.infra.commands import Endpoints
from services.kafka.consumer import KafkaRecordSource, KafkaRecordSourceConfig
from services.kafka.record_source import Record, RecordSource
from tests.integration.consumer_harness import Stage, staged
from tests.unit.consumers.behaviours import BATCH, ConsumerBehaviours, World
from tests.unit.consumers.streams import CONFIG

pytestmark = pytest.mark.integration


class RealServers:
    """The topics, groups and rows of a stage."""

    def __init__(self, stage: Stage) -> None:
        self.settings, self.store, self._stage = stage.settings, stage.store, stage

    def send(self, entries: Sequence[Entry]) -> list[Record]:
        sent = []
        for entry in entries:
            way = route_entry(entry)
            value, headers = encode(entry)
            topic = f"{self.settings.kafka.topic_prefix}.{way.suffix}"
            sent.append((self._stage.producer.send(topic, value, way.key, headers), way.key, value, headers))
        self._stage.producer.flush(timeout=300)
        stored = [(future.get(timeout=300), *rest) for future, *rest in sent]
        return [Record(at.topic, at.partition, at.offset, *rest, at.timestamp / 1000) for at, *rest in stored]

    def member(self, kind: str) -> RecordSource:
        consumers = self.settings.consumers
        return KafkaRecordSource(
            KafkaRecordSourceConfig(
                kafka=self.settings.kafka,
                group=self._stage.group(kind),
                topic=self._stage.topic(kind),
                max_poll_records=BATCH,
                session_timeout_ms=consumers.session_timeout_ms,
                transaction_timeout_ms=consumers.transaction_timeout_ms,
            ),
            ConsumerObserver(kind),
        )

    def lag(self, kind: str) -> int:
        return self._stage.end(kind) - self._stage.committed(kind)


class TestOnRealServers(ConsumerBehaviours):
    """All behaviours on real servers."""

    @pytest.fixture
    def world(self, infra: Endpoints, tmp_path: Path) -> Iterator[World]:
        with staged(infra, tmp_path, features=CONFIG) as stage:
            yield RealServers(stage)
