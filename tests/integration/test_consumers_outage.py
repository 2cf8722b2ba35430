"""Consumers during outages of Kafka and Valkey: nothing is skipped, nothing counts twice, a stop takes effect."""

import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.consumers.main import consume
from services.infra.commands import InfraConfig, down, up
from services.infra.process import is_alive
from services.infra.state import load_state
from services.store.protocol import read_rows
from services.text.protocol import HashingEncoder
from tests.integration.consumer_harness import SCHEMA, TIMEOUT_S, UPDATES, USER_VIEWS, Stage, folded, running, staged
from tests.unit.consumers.streams import ACTIVITY, assert_rows, behavior, fold_catalogue, replayed
from tests.waiting import wait_until

pytestmark = pytest.mark.integration

TIMEOUT_MS = 3_000
"""After this time a consumer no longer waits for the end of its transaction."""


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[InfraConfig]:
    """Servers of this test's own, which it kills."""
    config = InfraConfig(tmp_path / "infra")
    try:
        yield config
    finally:
        down(config)


def kill(servers: InfraConfig, name: str) -> None:
    """End a server as a crash would."""
    process = load_state(servers.data_dir).of(name).process
    assert process is not None
    os.kill(process.pid, signal.SIGKILL)
    wait_until(lambda: not is_alive(process))


def beyond(stage: Stage, count: int) -> None:
    """Wait until `count` more records are committed."""
    target = stage.committed("behavior") + count
    wait_until(lambda: stage.committed("behavior") >= target)


def test_killed_servers_lose_no_record(servers: InfraConfig, tmp_path: Path) -> None:
    """Valkey and then Kafka are killed under running consumers; the rows are those of a single fold."""
    events = behavior(1500, users=40)
    with staged(up(servers), tmp_path, transaction_timeout_ms=TIMEOUT_MS) as stage:
        fold_catalogue(stage.store, UPDATES, SCHEMA)
        stage.send(events)
        with running(stage, "activity"), running(stage, "behavior"):
            for name in ("valkey", "kafka"):
                beyond(stage, 200)
                kill(servers, name)
                up(servers)
            wait_until(lambda: folded(stage, "behavior"))
            wait_until(lambda: folded(stage, "activity"))
        assert_rows(replayed(UPDATES, events, SCHEMA), stage.store, (*USER_VIEWS, *ACTIVITY), SCHEMA)


@pytest.mark.parametrize("name", ["valkey", "kafka"])
def test_a_stop_takes_effect_while_a_server_is_unavailable(name: str, servers: InfraConfig, tmp_path: Path) -> None:
    """The consumer does not wait for the server; the current batch is left to the next process."""
    events = behavior(1500, users=10)
    with staged(up(servers), tmp_path, transaction_timeout_ms=TIMEOUT_MS) as stage:
        fold_catalogue(stage.store, UPDATES, SCHEMA)
        stage.send(events)
        with running(stage, "behavior") as stop:
            beyond(stage, 40)
            kill(servers, name)
            stop.set()
        if name == "valkey":
            assert 0 < stage.committed("behavior") < len(events)


def test_a_consumer_waits_for_servers_that_have_not_started(servers: InfraConfig, tmp_path: Path) -> None:
    """Started before Kafka and Valkey, it folds once they are up."""
    with staged(up(servers), tmp_path) as stage:
        fold_catalogue(stage.store, UPDATES, SCHEMA)
        stage.send(behavior(20))
    down(servers)
    stop = threading.Event()
    worker = threading.Thread(target=consume, args=("behavior", stage.settings, stage.store, stop, HashingEncoder))
    worker.start()
    try:
        up(servers)
        wait_until(lambda: all(read_rows(stage.store, SCHEMA["user"], [("u0",)])))
    finally:
        stop.set()
        worker.join(TIMEOUT_S)
    assert not worker.is_alive()
