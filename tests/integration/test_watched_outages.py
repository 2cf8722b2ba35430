"""A consumer's readiness and log during temporary failures of a real Valkey or Kafka."""

import json
import logging
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import redis

from services.infra.commands import Endpoints, InfraConfig, up
from services.kafka.groups import STABLE, GroupAdmin
from services.server.logging import JsonFormatter
from services.store.connect import open_rows
from tests.integration.consumer_harness import (
    SCHEMA,
    UPDATES,
    USER_VIEWS,
    BlockingStore,
    Stage,
    clicks,
    folded,
    running,
    staged,
)
from tests.integration.test_consumers_outage import kill
from tests.unit.consumers.streams import assert_rows, behavior, behavior_event, fold_catalogue, replayed
from tests.waiting import wait_until

pytestmark = pytest.mark.integration

SESSION_S = 6.0
"""After this time without heartbeats Kafka assigns a member's partitions to others."""

SECRET_ID, SECRET_TEXT = "user-secret-4711", "text-secret-0815"
"""Must not be in any log line."""

Outage = Callable[[redis.Redis, InfraConfig], Iterator[None]]


def killed(valkey: redis.Redis, servers: InfraConfig) -> Iterator[None]:
    """Killed, and started again on the same port."""
    del valkey
    kill(servers, "valkey")
    try:
        yield
    finally:
        up(servers)


def out_of_memory(valkey: redis.Redis, servers: InfraConfig) -> Iterator[None]:
    """It serves reads and rejects writes."""
    del servers
    valkey.config_set("maxmemory-policy", "noeviction")
    valkey.config_set("maxmemory", 1)
    try:
        yield
    finally:
        valkey.config_set("maxmemory", 0)


def read_only(valkey: redis.Redis, servers: InfraConfig) -> Iterator[None]:
    """A replica after a failover that the consumer has not noticed."""
    del servers
    valkey.replicaof("127.0.0.1", "1")
    try:
        yield
    finally:
        valkey.replicaof("NO", "ONE")


def paused(valkey: redis.Redis, servers: InfraConfig) -> Iterator[None]:
    """Connected, but without any answer."""
    del servers
    valkey.client_pause(int(SESSION_S * 1000) + 3000, all=True)
    yield


@pytest.fixture
def stage(infra: Endpoints, tmp_path: Path) -> Iterator[Stage]:
    with staged(infra, tmp_path, session_timeout_ms=int(SESSION_S * 1000)) as stage:
        short_timeout = stage.settings.store.model_copy(update={"read_timeout_s": 0.5})
        listening = stage.settings.consumers.model_copy(update={"metrics_listen": "127.0.0.1:0"})
        settings = stage.settings.model_copy(update={"store": short_timeout, "consumers": listening})
        yield replace(stage, settings=settings, store=open_rows(settings))


def lines(caplog: pytest.LogCaptureFixture, event: str) -> list[dict[str, Any]]:
    # A message of kafka-python is formatted here from a connection that may be closed by now, which fails.
    own = [record for record in caplog.records if not record.name.startswith("kafka")]
    found = [json.loads(JsonFormatter().format(record)) for record in own if record.getMessage() == event]
    return [line for line in found if line.get("kind", "behavior") == "behavior"]


def ready(caplog: pytest.LogCaptureFixture) -> tuple[int, list[str]]:
    """What /ready answers; (0, []) before it listens."""
    address = next((line["address"] for line in lines(caplog, "metrics_listening")), None)
    if address is None:
        return 0, []
    try:
        with urllib.request.urlopen(f"http://{address}/ready", timeout=10) as answer:
            return answer.status, json.load(answer)["reasons"]
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)["reasons"]


def members(stage: Stage) -> list[str]:
    group = GroupAdmin(stage.admin).describe(stage.group("behavior"))
    assert STABLE == group.state
    return [member.member_id for member in group.members]


def outlast_the_session() -> None:
    """Wait longer than Kafka waits for a member's heartbeat."""
    begun = time.monotonic()
    wait_until(lambda: time.monotonic() - begun > SESSION_S + 1)


@pytest.mark.parametrize("outage", [killed, out_of_memory, read_only, paused])
def test_a_consumer_resumes_after_a_store_outage(
    outage: Outage, stage: Stage, infra: Endpoints, infra_config: InfraConfig, caplog: pytest.LogCaptureFixture
) -> None:
    """Meanwhile the consumer is not ready, keeps its partitions, commits nothing; then it folds every record once.

    The log has one line at the begin of the outage and one at its end, and no id or text of a user.
    """
    caplog.set_level(logging.INFO, "services")
    before, after = behavior(60, users=9), behavior(200, seed=1, users=9)
    secret = [behavior_event(1, user_id=SECRET_ID, type="EVENT_TYPE_COMMENT", text=SECRET_TEXT)]
    fold_catalogue(stage.store, UPDATES, SCHEMA)
    with redis.Redis.from_url(infra.valkey_url) as valkey, running(stage, "behavior"):
        stage.send(before)
        wait_until(lambda: folded(stage, "behavior"))
        wait_until(lambda: ready(caplog) == (200, []))
        member, committed = members(stage), stage.committed("behavior")
        with contextmanager(outage)(valkey, infra_config):
            stage.send([*secret, *after])
            wait_until(lambda: ready(caplog)[0] == 503)
            outlast_the_session()
            assert "store unavailable since" in ready(caplog)[1][0]
            assert (member, committed) == (members(stage), stage.committed("behavior"))
        wait_until(lambda: folded(stage, "behavior"))
        wait_until(lambda: ready(caplog) == (200, []))
        assert member == members(stage)
    assert_rows(replayed(UPDATES, [*before, *secret, *after], SCHEMA), stage.store, USER_VIEWS, SCHEMA)
    (begin,), (end,) = lines(caplog, "store_unavailable"), lines(caplog, "recovered")
    assert begin["reason"].startswith("online store: ")
    assert end["failures"] > 1
    assert end["took_s"] > SESSION_S
    logged = " ".join(JsonFormatter().format(record) for record in caplog.records)
    assert SECRET_ID not in logged
    assert SECRET_TEXT not in logged


def test_a_slow_store_loses_no_partition(stage: Stage) -> None:
    """A write that takes longer than the session time-out: heartbeats continue, and the batch is committed."""
    store = BlockingStore(stage.store)
    store.opened.set()
    with running(stage, "behavior", store):
        stage.send([behavior_event(1, user_id="u1")])
        wait_until(lambda: folded(stage, "behavior"))
        store.reached.clear()
        store.opened.clear()
        stage.send([behavior_event(2)])
        wait_until(store.reached.is_set)
        member, committed = members(stage), stage.committed("behavior")
        outlast_the_session()
        assert (member, committed) == (members(stage), stage.committed("behavior"))
        store.opened.set()
        wait_until(lambda: folded(stage, "behavior"))
        assert member == members(stage)
    assert 1.0 == clicks(stage, "u0")


def test_an_idle_consumer_recovers_from_a_kafka_outage(
    stage: Stage, infra_config: InfraConfig, caplog: pytest.LogCaptureFixture
) -> None:
    """An idle consumer detects the outage by its heartbeats, logs it once, and becomes ready again by itself."""
    caplog.set_level(logging.INFO, "services")
    with running(stage, "behavior"):
        stage.send([behavior_event(1)])
        wait_until(lambda: folded(stage, "behavior"))
        wait_until(lambda: ready(caplog) == (200, []))
        kill(infra_config, "kafka")
        try:
            wait_until(lambda: ready(caplog)[0] == 503)
        finally:
            up(infra_config)
        assert "kafka unavailable since" in ready(caplog)[1][-1]
        wait_until(lambda: ready(caplog) == (200, []))
        stage.send([behavior_event(2)])
        wait_until(lambda: clicks(stage, "u0") > 1.5)
    assert 1 == len(lines(caplog, "kafka_unavailable"))
    assert lines(caplog, "recovered")


def test_the_content_of_an_invalid_record_is_not_logged(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    """Whatever is invalid: ids and texts of users are in no log line."""
    caplog.set_level(logging.INFO, "services")
    json_type = [("content-type", b"application/json")]
    bad = [
        (behavior_event(1, user_id=SECRET_ID, text=SECRET_TEXT, scenario_id="").SerializeToString(), []),
        (behavior_event(1, user_id=SECRET_ID * 9, text=SECRET_TEXT).SerializeToString(), []),
        (f'{{"behaviorEvent": {{"userId": {SECRET_ID}, "text": "{SECRET_TEXT}"}}}}'.encode(), json_type),
        (f'{{"behaviorEvent": {{"{SECRET_ID}": "{SECRET_TEXT}"}}}}'.encode(), json_type),
        (SECRET_TEXT.encode(), [("content-type", SECRET_ID.encode())]),
        (SECRET_TEXT.encode(), []),
    ]
    with running(stage, "behavior"):
        for value, headers in bad:
            stage.producer.send(stage.topic("behavior"), value, SECRET_ID.encode(), headers).get(timeout=300)
        wait_until(lambda: sum(line["count"] for line in lines(caplog, "dead_letters")) == len(bad))
    logged = " ".join(JsonFormatter().format(record) for record in caplog.records)
    assert "secret" not in logged
