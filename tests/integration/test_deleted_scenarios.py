"""Scenarios that come and go, from the gateway's intake through Kafka and the store to what a ranking server uses."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from crossrec.events.v1.events_pb2 import Entry, ItemDeletion, ScenarioDeletion
from services.consumers.dead_letters.topic import list_dead_letters
from services.consumers.rewind import rewind
from services.gateway.main import build_intake
from services.infra.commands import Endpoints
from services.kafka.kafka_publisher import KafkaPublisher
from services.ranking.cache.row_sources import open_row_sources
from services.server.security.caller import EVERY_SCOPE
from services.store.folding import read_scenario_ids
from services.text.protocol import HashingEncoder
from tests.integration.consumer_harness import SCHEMA, TIMEOUT_S, Stage, folded, running, staged
from tests.unit.consumers.streams import item_update, scenario_update
from tests.waiting import wait_until

pytestmark = pytest.mark.integration

MOST = 3


@pytest.fixture
def stage(infra: Endpoints, tmp_path: Path) -> Iterator[Stage]:
    with staged(infra, tmp_path, max_scenarios=MOST) as stage:
        yield stage


def publish(stage: Stage, entries: Sequence[Entry]) -> None:
    """Publish as the gateway does."""
    publisher = KafkaPublisher(stage.settings.kafka, TIMEOUT_S)
    try:
        intake = build_intake(stage.settings, publisher)
        submission = intake.submit(intake.validate(entries, EVERY_SCOPE), TIMEOUT_S)
        assert [] == submission.failures(TIMEOUT_S)
        assert ["accepted"] * len(entries) == [result.WhichOneof("result") for result in submission.answer()]
    finally:
        publisher.close(TIMEOUT_S)


def drain(stage: Stage, kind: str = "scenario") -> None:
    with running(stage, kind):
        wait_until(lambda: folded(stage, kind))


def used(stage: Stage) -> tuple[str, ...]:
    """The scenarios of a ranking server."""
    fingerprint = HashingEncoder().fingerprint
    rows = open_row_sources(stage.store, SCHEMA, fingerprint, 10, 0.0, 0.0, max_scenarios=MOST)
    return rows.scenarios.current().ids


def test_a_flood_of_scenarios_is_set_aside_and_a_deletion_makes_room(stage: Stage) -> None:
    """Also after the rows were dropped and rebuilt from the records in Kafka."""
    publish(stage, [scenario_update(number) for number in range(50)])
    drain(stage)
    assert ("s0", "s1", "s2") == used(stage)
    letters = [listed.dead_letter.reason for listed in list_dead_letters(stage.settings, lambda _: True, 0.0, 100)]
    assert 50 - MOST == sum("consumers.max_scenarios" in reason for reason in letters)
    publish(stage, [Entry(scenario_deletion=ScenarioDeletion(scenario_id="s1")), scenario_update(60)])
    drain(stage)
    assert ["s0", "s2", "s60"] == read_scenario_ids(stage.store, SCHEMA)
    publish(stage, [Entry(scenario_deletion=ScenarioDeletion(scenario_id=name)) for name in ("s0", "s60", "s9")])
    drain(stage)
    assert ("s2",) == used(stage)
    rewind(stage.settings, SCHEMA, stage.store, "scenario", 0.0)
    assert () == used(stage)
    drain(stage)
    assert ("s2",) == used(stage)


def test_a_deleted_item_is_unknown(stage: Stage) -> None:
    """Until it is updated again."""
    publish(stage, [scenario_update(0), item_update(1, attributes={}), item_update(2, attributes={})])
    publish(stage, [Entry(item_deletion=ItemDeletion(item_id="i1"))])
    drain(stage)
    drain(stage, "item")
    rows = open_row_sources(stage.store, SCHEMA, HashingEncoder().fingerprint, 10, 0.0, 0.0, max_scenarios=MOST)
    assert [False, True] == rows.items.lookup(["i1", "i2"], ["s0"]).known.tolist()
    publish(stage, [item_update(1, attributes={})])
    drain(stage, "item")
    assert [True, True] == rows.items.lookup(["i1", "i2"], ["s0"]).known.tolist()
