"""Retention in Kafka and Valkey, as configured."""

import uuid
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import redis
from kafka.admin import ConfigResource, KafkaAdminClient
from typer.testing import CliRunner

from services.errors import ConfigurationError
from services.features.config import FeatureConfig
from services.features.schema import build_schema
from services.infra.commands import Endpoints
from services.kafka.topic_settings import correct_topics, judge_topics
from services.kafka.topics import create_topics, topic_specs
from services.main import app
from services.settings.load import Settings
from services.store.connect import open_rows_for_batches
from services.store.feast_registry import apply_definitions
from services.store.redis.layout import RedisLayout
from tests.integration.consumer_harness import Stage, folded, running
from tests.unit.consumers.streams import behavior_event, erasure, item_update
from tests.waiting import wait_until

pytestmark = pytest.mark.integration

DAY_S = 86_400
SCHEMA = build_schema(FeatureConfig())


def retention_of(infra: Endpoints, topic: str) -> dict[str, str]:
    """A topic's retention settings in Kafka."""
    with KafkaAdminClient(bootstrap_servers=infra.kafka_bootstrap) as admin:
        found = admin.describe_configs([ConfigResource("topic", topic)], config_filter="all")["topic"][topic]
    return {name: config["value"] for name, config in found.items()}


def test_setup_applies_retention_to_topics_that_exist(infra: Endpoints, tmp_path: Path) -> None:
    """Other configuration stays; a second run changes nothing."""
    name = f"kept-{uuid.uuid4().hex[:8]}"
    specs = topic_specs(name)
    tuned = [replace(spec, config={**spec.config, "segment.ms": "3600000"}) for spec in specs]
    create_topics(infra.kafka_bootstrap, tuned)
    environment = {
        "CROSSREC_KAFKA__BOOTSTRAP_SERVERS": infra.kafka_bootstrap,
        "CROSSREC_KAFKA__TOPIC_PREFIX": name,
        "CROSSREC_STORE__URL": infra.valkey_address,
        "CROSSREC_STORE__REGISTRY": str(tmp_path / "registry.db"),
        "CROSSREC_RETENTION__BEHAVIOR_DAYS": "8",
        "CROSSREC_RETENTION__DELETION_DAYS": "3",
        "COLUMNS": "500",
    }
    result = CliRunner().invoke(app, ["setup"], env=environment)
    assert 0 == result.exit_code, result.output
    assert f"topic {name}.behavior: retention.ms is now {8 * DAY_S * 1000}, was" in result.output
    assert f"{name}.activity" not in result.output
    behavior, items = (retention_of(infra, f"{name}.{suffix}") for suffix in ("behavior", "items"))
    assert (str(8 * DAY_S * 1000), "3600000") == (behavior["retention.ms"], behavior["segment.ms"])
    assert (str(3 * DAY_S * 1000), "compact") == (items["delete.retention.ms"], items["cleanup.policy"])
    again = CliRunner().invoke(app, ["setup"], env=environment)
    assert (0, False) == (again.exit_code, "is now" in again.output)


def test_a_topic_with_the_configured_retention_is_not_altered(infra: Endpoints) -> None:
    specs = topic_specs(f"kept-{uuid.uuid4().hex[:8]}")
    create_topics(infra.kafka_bootstrap, specs)
    assert [] == correct_topics(infra.kafka_bootstrap, specs, 1)


WRONG = {
    "cleanup.policy": "compact,delete",
    "retention.ms": "1000",
    "retention.bytes": "4096",
    "message.timestamp.type": "CreateTime",
    "max.message.bytes": "1000",
    "min.insync.replicas": "2",
    "unclean.leader.election.enable": "true",
    "compression.type": "zstd",
}


def test_topics_that_others_made_are_corrected(infra: Endpoints) -> None:
    """To what setup would have made; what does no harm stays."""
    name = f"made-{uuid.uuid4().hex[:8]}"
    specs = topic_specs(name)
    create_topics(infra.kafka_bootstrap, [replace(spec, config=WRONG) for spec in specs])
    found = {
        each.topic.partition(".")[2]: set(each.corrections) for each in correct_topics(infra.kafka_bootstrap, specs, 1)
    }
    always = {"message.timestamp.type", "max.message.bytes", "min.insync.replicas", "unclean.leader.election.enable"}
    assert always | {"cleanup.policy", "retention.ms", "retention.bytes"} == found["behavior"]
    assert always | {"cleanup.policy", "delete.retention.ms"} >= found["items"] >= always
    wait_until(lambda: not correct_topics(infra.kafka_bootstrap, specs, 1), what="all brokers to show the change")
    assert "zstd" == retention_of(infra, f"{name}.behavior")["compression.type"]
    assert "-1" == retention_of(infra, f"{name}.behavior")["retention.bytes"]


def test_topics_that_cannot_be_corrected_are_refused(infra: Endpoints) -> None:
    """By name, all at once, before anything is changed."""
    name = f"made-{uuid.uuid4().hex[:8]}"
    specs = topic_specs(name)
    create_topics(infra.kafka_bootstrap, [replace(spec, config=WRONG) for spec in specs])
    with pytest.raises(ConfigurationError) as error:
        correct_topics(infra.kafka_bootstrap, topic_specs(name, partitions=8), 3)
    assert f"topic {name}.behavior: 4 partitions, not 8" in str(error.value)
    assert f"topic {name}.scenarios: 1 copies of a partition, not 3" in str(error.value)
    assert "1000" == retention_of(infra, f"{name}.behavior")["max.message.bytes"]
    assert [] == judge_topics(infra.kafka_bootstrap, topic_specs("none-such"), 1)


TimeLeft = Callable[[str, tuple[str, ...]], int]


@pytest.fixture
def left_s(stage: Stage) -> TimeLeft:
    """Seconds until a row's entity expires; -1: it does not expire, -2: it does not exist."""

    def left_s(view: str, ids: tuple[str, ...]) -> int:
        (key,) = RedisLayout(SCHEMA[view], stage.settings.store.project).encode_keys([ids])
        with redis.Redis.from_url(f"redis://{stage.settings.store.url}") as client:
            return int(client.ttl(key))

    return left_s


def with_retention(stage: Stage, days: int) -> Stage:
    """The same stage with user retention in its writers."""
    store = stage.settings.store.model_copy(update={"user_retention_days": days})
    settings: Settings = stage.settings.model_copy(update={"store": store})
    return replace(stage, settings=settings, store=open_rows_for_batches(settings))


def fold(stage: Stage, kind: str = "behavior") -> None:
    with running(stage, kind):
        wait_until(lambda: folded(stage, kind))


def test_users_without_events_expire(stage: Stage, left_s: TimeLeft) -> None:
    """Every write restarts the period; items do not expire; with the setting off users do not either."""
    brief, long = with_retention(stage, 1), with_retention(stage, 9)
    stage.send([item_update(1, attributes={}), behavior_event(1), behavior_event(2, user_id="u1", scenario_id="s1")])
    fold(brief, "item")
    fold(brief)
    for ids in (("u0",), ("u1",)):
        assert 0 < left_s("user", ids) <= DAY_S
    assert 0 < left_s("user_scenario", ("u1", "s1")) <= DAY_S
    assert -1 == left_s("item", ("i1",))
    stage.send([behavior_event(3)])
    fold(long)
    assert 8 * DAY_S < left_s("user", ("u0",)) <= 9 * DAY_S
    assert 8 * DAY_S < left_s("user_scenario", ("u0", "s0")) <= 9 * DAY_S
    assert 0 < left_s("user", ("u1",)) <= DAY_S
    stage.send([behavior_event(4)])
    fold(stage)
    assert [-1, -1] == [left_s("user", ("u0",)), left_s("user_scenario", ("u0", "s0"))]


def test_setup_sets_the_expiry_of_existing_users(stage: Stage, left_s: TimeLeft) -> None:
    """A later expiry, or none, is replaced; an earlier one, and that of the fences of an erased user, is kept."""
    stage.send([*(behavior_event(number, user_id=f"u{number}") for number in range(4)), erasure("u3")])
    fold(stage)
    stage.send([behavior_event(4, user_id="u1")])
    fold(with_retention(stage, 2))
    stage.send([behavior_event(5, user_id="u2")])
    fold(with_retention(stage, 9))
    environment = stage.variables() | {"CROSSREC_STORE__USER_RETENTION_DAYS": "4", "COLUMNS": "500"}
    result = CliRunner().invoke(app, ["setup"], env=environment)
    assert 0 == result.exit_code, result.output
    assert "user rows that now expire in 4 days: 4" in result.output
    for view, ids in (("user", ()), ("user_scenario", ("s0",))):
        for user, day in (("u0", 4), ("u1", 2), ("u2", 4), ("u3", 31)):
            assert (day - 1) * DAY_S < left_s(view, (user, *ids)) <= day * DAY_S


def test_the_mark_of_an_erasure_never_expires(stage: Stage, left_s: TimeLeft) -> None:
    """Fences expire a day after the topic's retention; the mark stays, and a user with new events expires again."""
    retention = stage.settings.retention.model_copy(update={"behavior_days": 4})
    settings = stage.settings.model_copy(update={"retention": retention})
    brief = with_retention(replace(stage, settings=settings), 1)
    stage.send([behavior_event(1), erasure("u0")])
    fold(brief)
    for view, ids in (("user", ("u0",)), ("user_scenario", ("u0", "s0"))):
        assert 4 * DAY_S < left_s(view, ids) <= 5 * DAY_S
    assert -1 == left_s("erased_user", ("u0",))
    stage.send([behavior_event(2)])
    fold(brief)
    assert 0 < left_s("user", ("u0",)) <= DAY_S
    assert -1 == left_s("erased_user", ("u0",))


def test_feasts_own_writes_through_this_store_expire_too(stage: Stage, left_s: TimeLeft) -> None:
    """`write_to_online_store` uses the same script."""
    brief = with_retention(stage, 1)
    stage.send([behavior_event(1)])
    fold(stage)
    assert -1 == left_s("user", ("u0",))
    feast = apply_definitions(brief.settings)
    features = [f"user:{feature.name}" for feature in SCHEMA["user"].features]
    frame = feast.get_online_features(features=features, entity_rows=[{"user_id": "u0"}]).to_df()
    feast.write_to_online_store("user", frame.assign(event_timestamp="2026-01-01T00:00:00Z"))
    assert 0 < left_s("user", ("u0",)) <= DAY_S
