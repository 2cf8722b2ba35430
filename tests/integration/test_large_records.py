"""Records and batches that are too large for somebody, on a real Kafka: none of them stops a partition."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from hashlib import sha256
from pathlib import Path

import pytest
from kafka import KafkaProducer
from kafka.admin import ConfigResource, ConfigResourceType

from crossrec.events.v1.events_pb2 import Entry
from services.infra.commands import Endpoints
from services.settings.processes import CONSUMER_KINDS
from services.store.protocol import read_rows
from tests.integration.consumer_harness import SCHEMA, Stage, clicks, dead_letters, folded, running, staged
from tests.unit.consumers.streams import behavior_event, item_update
from tests.waiting import wait_until

pytestmark = pytest.mark.integration

LARGE = b"\xff" * 10_000_000


@pytest.fixture
def stage(infra: Endpoints, tmp_path: Path) -> Iterator[Stage]:
    with staged(infra, tmp_path, max_poll_records=5000) as stage:
        yield stage


def click_everywhere(scenarios: int) -> list[Entry]:
    """Clicks of one user on one item, each in a scenario with a long id."""
    return [behavior_event(number, scenario_id=f"s{number}".ljust(128, "x")) for number in range(scenarios)]


def limit_topic(stage: Stage, suffix: str, most_bytes: int) -> None:
    """Let a topic take batches of so many bytes at most."""
    name = f"{stage.settings.kafka.topic_prefix}.{suffix}"
    change = ConfigResource(ConfigResourceType.TOPIC, name, {"max.message.bytes": str(most_bytes)})
    assert {name: "OK"} == stage.admin.alter_configs([change])["topic"]


def fold(stage: Stage, kinds: Sequence[str]) -> None:
    with ExitStack() as consumers:
        for kind in kinds:
            consumers.enter_context(running(stage, kind))
        for kind in kinds:
            wait_until(lambda kind=kind: folded(stage, kind))


def test_an_item_in_thousands_of_scenarios_is_counted(stage: Stage) -> None:
    """Its delta is larger than Kafka takes: it is split, and every scenario's row is there, each with one click."""
    events = click_everywhere(6000)
    stage.send([item_update(0, attributes={}), *events])
    fold(stage, ["item", "behavior", "activity"])
    view = SCHEMA["item_scenario_activity"]
    rows = read_rows(stage.store, view, [("i0", event.behavior_event.scenario_id) for event in events])
    assert all(row is not None for row in rows)
    (total,) = read_rows(stage.store, SCHEMA["item_activity"], [("i0",)])
    assert total is not None
    assert 1 == total["unique_users"]
    assert clicks(stage, "u0") == pytest.approx(6000, rel=0.01)
    assert [] == dead_letters(stage)


def test_outputs_that_a_topic_does_not_take_are_tried_in_halves_and_set_aside(stage: Stage) -> None:
    """Somebody made the activity topic with a limit so low that some events' deltas do not fit, others' do."""
    limit_topic(stage, "activity", 960)
    # In batches with overhead, the deltas of a long id take 1,027 bytes, those of a short one 900.
    events = [
        behavior_event(number, user_id=f"u{number:02}", item_id="i" * 128 if number % 10 == 3 else "i0")
        for number in range(60)
    ]
    stage.send(events)
    fold(stage, ["behavior"])
    aside = dead_letters(stage)
    assert {event.behavior_event.event_id for number, event in enumerate(events) if number % 10 == 3} == {
        Entry.FromString(record.value).behavior_event.event_id for record in aside
    }
    assert all(dict(record.headers)["reason"].startswith(b"its activity cannot be stored: ") for record in aside)
    fold(stage, ["activity"])
    (row,) = read_rows(stage.store, SCHEMA["item_activity"], [("i0",)])
    assert row is not None
    assert 54 == pytest.approx(row["counts"][len(SCHEMA.config.half_lives_s) * 2 - 1], rel=0.01)


@pytest.mark.parametrize("limit", [None, 100_000])
def test_ten_megabytes_on_every_topic_become_dead_letters_that_fit(stage: Stage, limit: int | None) -> None:
    """Compressed, they are small; the dead letter is cut and has the hash, also if its topic takes little."""
    if limit:
        limit_topic(stage, "dead-letter", limit)
    with KafkaProducer(
        bootstrap_servers=stage.settings.kafka.bootstrap_servers,
        compression_type="gzip",
        max_request_size=20_000_000,
        batch_size=1_000,
    ) as producer:
        for kind in CONSUMER_KINDS:
            producer.send(stage.topic(kind), LARGE, b"k", [("h" * 1000, b"v" * 100_000)], partition=0)
            producer.send(stage.topic(kind), None, b"\xff" * 500_000, partition=0)
    stage.send([behavior_event(1), item_update(1, attributes={})])
    fold(stage, CONSUMER_KINDS)
    found = dead_letters(stage)
    topics = sorted(stage.topic(kind).encode() for kind in CONSUMER_KINDS for _ in range(2))
    assert topics == sorted(dict(record.headers)["topic"] for record in found)
    large = [record for record in found if record.value]
    assert {sha256(LARGE).hexdigest().encode()} == {dict(record.headers)["sha256"] for record in large}
    assert {b"value 10000000 bytes, key 1 bytes, headers 101000 bytes"} == {
        dict(record.headers)["cut"] for record in large
    }
    assert clicks(stage, "u0") == pytest.approx(1, rel=0.01)
