"""A cluster of three brokers that loses the leader of a partition, twice, while events are folded."""

from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from services.infra.commands import Endpoints
from services.kafka.topic_settings import correct_topics
from services.kafka.topics import topic_specs
from tests.chaos.kafka_cluster import NODES, KafkaCluster, kafka_cluster
from tests.integration.consumer_harness import SCHEMA, UPDATES, Stage, folded, running, staged
from tests.unit.consumers.streams import assert_rows, behavior, fold_catalogue, replayed
from tests.waiting import wait_until

pytestmark = pytest.mark.integration

EVENTS = 1200
CHUNK = 100
VIEWS = ("user", "user_scenario", "item_activity", "scenario_activity")


def kill_leader(cluster: KafkaCluster, stage: Stage) -> int:
    """Kill the node that leads the first partition of behaviour; returns its number."""
    leader = cluster.leader(stage.topic("behavior"), 0)
    cluster.nodes[leader].kill()
    return leader


def test_every_event_counts_once_though_leaders_are_killed(infra: Endpoints, tmp_path: Path) -> None:
    """No event that was confirmed is lost, none counts twice, and no send fails."""
    events = behavior(EVENTS, users=40)
    with ExitStack() as stack:
        cluster = stack.enter_context(kafka_cluster(tmp_path / "kafka"))
        endpoints = replace(infra, kafka_bootstrap=cluster.bootstrap)
        stage = stack.enter_context(staged(endpoints, tmp_path, copies=NODES))
        specs = topic_specs(stage.settings.kafka.topic_prefix)
        assert [] == correct_topics(cluster.bootstrap, specs, NODES)
        fold_catalogue(stage.store, UPDATES, SCHEMA)
        for kind in ("behavior", "behavior", "activity"):
            stack.enter_context(running(stage, kind))
        wait_until(lambda: stage.shares("behavior") == [2, 2])
        dead = 0
        for number, begin in enumerate(range(0, EVENTS, CHUNK)):
            stage.send(events[begin : begin + CHUNK])
            if number in {3, 7}:
                # All copies are there, so that what remains after the kill still confirms.
                wait_until(lambda: cluster.is_whole([spec.name for spec in specs]), interval_s=0.5)
                dead = kill_leader(cluster, stage)
            if number in {5, 9}:
                # Kafka has another leader by now, or the sends would have waited for one.
                wait_until(lambda before=begin: stage.committed("behavior") > before - CHUNK)
                cluster.nodes[dead].start()
        assert dead
        wait_until(lambda: folded(stage, "behavior"))
        wait_until(lambda: folded(stage, "activity"))
        assert EVENTS <= stage.end("behavior")
        assert_rows(replayed(UPDATES, events, SCHEMA), stage.store, VIEWS, SCHEMA)
