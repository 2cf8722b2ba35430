"""Thousands of broken records among good ones, on every topic of a real Kafka."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from kafka import KafkaConsumer, TopicPartition

from services.consumers.main import build_handler
from services.infra.commands import Endpoints
from services.kafka.record_source import Record
from services.settings.processes import CONSUMER_KINDS
from services.store.memory import MemoryRowStore
from services.text.protocol import HashingEncoder
from tests.integration.consumer_harness import SCHEMA, Stage, folded, running, staged
from tests.integration.mutations import MUTATIONS, Made, stream
from tests.unit.consumers.streams import assert_rows
from tests.waiting import wait_until

pytestmark = pytest.mark.integration

COUNT = 10_000
BATCH = 1_000


@pytest.fixture
def stage(infra: Endpoints, tmp_path: Path) -> Iterator[Stage]:
    with staged(infra, tmp_path, max_poll_records=BATCH) as stage:
        yield stage


@pytest.mark.parametrize("kind", CONSUMER_KINDS)
def test_every_broken_record_becomes_one_dead_letter_and_every_good_one_is_folded(kind: str, stage: Stage) -> None:
    """Records that are invalid by construction are dead letters, valid ones are not, the rest follows the rules."""
    made = stream(kind, COUNT, seed=1, schema=SCHEMA)
    assert {"good", *MUTATIONS[kind]} == {record.how for record in made}
    offsets = _send(stage, kind, made)
    with running(stage, kind):
        wait_until(lambda: folded(stage, kind))
    dead_letter_offsets = _read_dead_letters(stage, kind)
    assert len(dead_letter_offsets) == len(set(dead_letter_offsets))
    broken = set(dead_letter_offsets)
    for offset, record in zip(offsets, made, strict=True):
        if record.folds is not None:
            assert record.folds == (offset not in broken), f"{record.how} at offset {offset}"
    expected = MemoryRowStore()
    handler = build_handler(kind, stage.settings, SCHEMA, expected, HashingEncoder)
    records = _as_read(stage.topic(kind), offsets, made)
    refused = [
        dead_letter.record.offset
        for start in range(0, COUNT, BATCH)
        for dead_letter in handler.fold(records[start : start + BATCH]).dead_letters
    ]
    assert refused == sorted(broken)
    assert_rows(expected, stage.store, [view for view, rows in expected.rows.items() if rows], SCHEMA)


def _send(stage: Stage, kind: str, made: list[Made]) -> list[int]:
    """Store the records in partition 0; returns their offsets."""
    topic = stage.topic(kind)
    sent = [
        stage.producer.send(topic, record.value, record.key, headers=record.headers, partition=0) for record in made
    ]
    stage.producer.flush(timeout=300)
    return [future.get(timeout=300).offset for future in sent]


def _as_read(topic: str, offsets: list[int], made: list[Made]) -> list[Record]:
    return [
        Record(topic, 0, offset, record.key, record.value, list(record.headers))
        for offset, record in zip(offsets, made, strict=True)
    ]


def _read_dead_letters(stage: Stage, kind: str) -> list[int]:
    """Offsets of the records that the committed dead letters name."""
    kafka = stage.settings.kafka
    partition = TopicPartition(f"{kafka.topic_prefix}.dead-letter", 0)
    found: list[int] = []
    with KafkaConsumer(bootstrap_servers=kafka.bootstrap_servers, isolation_level="read_committed") as consumer:
        consumer.assign([partition])
        consumer.seek_to_beginning(partition)
        end = consumer.end_offsets([partition])[partition]
        while consumer.position(partition) < end:
            for record in consumer.poll(1000).get(partition, []):
                headers = dict(record.headers)
                assert (stage.topic(kind).encode(), b"0") == (headers["topic"], headers["partition"])
                assert headers["reason"]
                found.append(int(headers["offset"]))
    return found
