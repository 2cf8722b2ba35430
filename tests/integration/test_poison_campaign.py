"""Thousands of broken records among good ones, on every topic of a real Kafka, with every codec.

`make fuzz` runs the same with a hundred thousand records, and stop signals (tests/chaos/fuzz.py).
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from services.consumers.main import build_handler
from services.infra.commands import Endpoints
from services.kafka.record_source import Record
from services.settings.processes import CONSUMER_KINDS
from services.store.memory import MemoryRowStore
from services.text.protocol import HashingEncoder
from tests.integration.boundary import LARGE, boundary, open_senders
from tests.integration.consumer_harness import SCHEMA, Stage, dead_letters, folded, running, staged
from tests.integration.mutations import MUTATIONS, Made
from tests.unit.consumers.streams import assert_rows
from tests.waiting import wait_until

pytestmark = pytest.mark.integration

COUNT = 2_000
BATCH = 1_000


@pytest.fixture
def stage(infra: Endpoints, tmp_path: Path) -> Iterator[Stage]:
    with staged(infra, tmp_path, max_poll_records=BATCH) as stage:
        yield stage


@pytest.mark.parametrize("kind", CONSUMER_KINDS)
def test_every_broken_record_becomes_one_dead_letter_and_every_good_one_is_folded(kind: str, stage: Stage) -> None:
    """Records that are invalid by construction are dead letters, valid ones are not, the rest follows the rules."""
    made = list(boundary(kind, COUNT, seed=1, schema=SCHEMA))
    forms = {record.how.split(", ")[0] for record in made}
    assert forms > {"good", *MUTATIONS[kind]}
    assert forms & set(LARGE)
    offsets, times_s = _send(stage, kind, made)
    with running(stage, kind):
        wait_until(lambda: folded(stage, kind), timeout_s=600)
    dead_letter_offsets = _read_dead_letters(stage, kind)
    assert len(dead_letter_offsets) == len(set(dead_letter_offsets))
    broken = set(dead_letter_offsets)
    for offset, record in zip(offsets, made, strict=True):
        if record.folds is not None:
            assert record.folds == (offset not in broken), f"{record.how} at offset {offset}"
    expected = MemoryRowStore()
    handler = build_handler(kind, stage.settings, SCHEMA, expected, HashingEncoder)
    records = sorted(_as_read(stage.topic(kind), offsets, times_s, made), key=lambda record: record.offset)
    refused = [
        dead_letter.record.offset
        for start in range(0, COUNT, BATCH)
        for dead_letter in handler.fold(records[start : start + BATCH]).dead_letters
    ]
    assert sorted(refused) == sorted(broken)  # tombstones are judged after the others of their batch
    assert_rows(expected, stage.store, [view for view, rows in expected.rows.items() if rows], SCHEMA)


def _send(stage: Stage, kind: str, made: list[Made]) -> tuple[list[int], list[float]]:
    """Store the records in partition 0; returns their offsets and times."""
    with open_senders(stage.settings.kafka.bootstrap_servers, seed=1) as senders:
        sent = []
        for record in made:
            sent.append(senders.send(stage.topic(kind), record)[1])
            if len(sent) % BATCH == 0:
                senders.flush()
        senders.flush()
    stored = [future.get(timeout=300) for future in sent]
    return [at.offset for at in stored], [at.timestamp / 1000 for at in stored]


def _as_read(topic: str, offsets: list[int], times_s: list[float], made: list[Made]) -> list[Record]:
    return [
        Record(topic, 0, offset, record.key, record.value, list(record.headers), time_s)
        for offset, time_s, record in zip(offsets, times_s, made, strict=True)
    ]


def _read_dead_letters(stage: Stage, kind: str) -> list[int]:
    """Offsets of the records that the committed dead letters name."""
    found: list[int] = []
    for record in dead_letters(stage):
        headers = dict(record.headers)
        assert (stage.topic(kind).encode(), b"0") == (headers["topic"], headers["partition"])
        assert headers["reason"]
        found.append(int(headers["offset"]))
    return found
