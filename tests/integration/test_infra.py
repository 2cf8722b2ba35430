"""The embedded Kafka and Valkey as their users run them."""

import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import ConfigResource, KafkaAdminClient
from typer.testing import CliRunner

from services.consumers.cli import consumers_app
from services.errors import InfraFailed, TopicMismatch
from services.infra.cli import infra_app
from services.infra.commands import Endpoints, InfraConfig, down, status, up
from services.infra.kafka import KafkaServer
from services.infra.process import ProcessRef, is_alive, wait_until
from services.infra.state import InfraState, ServerState, load_state, save_state
from services.kafka.topics import TopicSpec, create_topics, topic_specs

pytestmark = pytest.mark.integration


@pytest.fixture
def own(tmp_path: Path) -> Iterator[InfraConfig]:
    """A data directory of the test's own, left with nothing running."""
    config = InfraConfig(tmp_path / "own")
    yield config
    down(config)


@pytest.fixture
def foreign() -> Iterator[subprocess.Popen[bytes]]:
    """A process that the infrastructure did not start."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        yield process
        process.kill()


def kill_all(config: InfraConfig) -> None:
    """Kill all processes, as a power cut does."""
    processes = [server.process for server in load_state(config.data_dir).servers.values() if server.process]
    for process in processes:
        os.kill(process.pid, signal.SIGKILL)
    assert wait_until(lambda: not any(map(is_alive, processes)), timeout_s=10)


def pids(config: InfraConfig) -> dict[str, int | None]:
    return {server.name: server.pid for server in status(config)}


def first_value(bootstrap: str, topic: str) -> bytes:
    consumer = KafkaConsumer(bootstrap_servers=bootstrap, consumer_timeout_ms=10_000)
    try:
        partition = TopicPartition(topic, 0)
        consumer.assign([partition])
        consumer.seek_to_beginning(partition)
        return next(consumer).value
    finally:
        consumer.close()


def test_up_again_returns_the_running_servers(infra: Endpoints, infra_config: InfraConfig) -> None:
    """`up` on a running stack starts nothing and returns the same end points."""
    before = pids(infra_config)
    again = up(infra_config)
    assert again == infra
    assert again.started_in_s == 0.0
    assert pids(infra_config) == before


def test_up_on_another_port_than_the_running_one_is_an_error(infra: Endpoints, infra_config: InfraConfig) -> None:
    """A stack on another port is not reported as the requested one."""
    other = InfraConfig(infra_config.data_dir, kafka_port=int(infra.kafka_bootstrap.rpartition(":")[2]) + 1)
    with pytest.raises(InfraFailed, match="kafka already runs on port"):
        up(other)


def test_status_names_address_and_pid(infra: Endpoints, infra_config: InfraConfig) -> None:
    """`status` shows what runs, where, and under which pid."""
    found = {server.name: (server.condition, server.address) for server in status(infra_config)}
    assert found == {
        "kafka": ("running", infra.kafka_bootstrap),
        "valkey": ("running", infra.valkey_address),
    }
    assert all(pids(infra_config).values())


@pytest.mark.parametrize("stop", [down, kill_all], ids=["down", "kill -9"])
def test_data_and_ports_survive_a_restart(own: InfraConfig, stop: Callable[[InfraConfig], object]) -> None:
    """Acknowledged records and keys are there after a restart, on the same ports, however the servers ended."""
    first = up(own)
    create_topics(first.kafka_bootstrap, [TopicSpec("kept", 1, {}, "test")])
    with KafkaProducer(bootstrap_servers=first.kafka_bootstrap, acks="all") as producer:
        producer.send("kept", b"record").get(timeout=10)
    with redis.Redis.from_url(first.valkey_url) as client:
        client.set("kept", "value")

    stop(own)
    assert {server.condition for server in status(own)} == {"stopped"}
    second = up(own)

    assert second == first
    assert first_value(second.kafka_bootstrap, "kept") == b"record"
    with redis.Redis.from_url(second.valkey_url) as client:
        assert client.get("kept") == b"value"


@pytest.mark.parametrize("by", ["up", "command"])
def test_a_transaction_committed_before_a_kill_of_kafka_is_complete_after_the_restart(
    own: InfraConfig, monkeypatch: pytest.MonkeyPatch, by: str
) -> None:
    """Its commit was confirmed, so its records are read, even if markers of its partitions were not written.

    Whether Kafka dies before or after writing them is up to chance, mostly before. For a Kafka that `up` did not start,
    a command finishes the transactions.
    """
    if by == "command":
        monkeypatch.setattr(KafkaServer, "recover", lambda *_: None)
    partitions = 50
    endpoints = up(own)
    create_topics(endpoints.kafka_bootstrap, [TopicSpec("wide", partitions, {}, "what was committed")])
    for attempt in range(3):
        producer = KafkaProducer(bootstrap_servers=endpoints.kafka_bootstrap, transactional_id=f"writer-{attempt}")
        producer.init_transactions()
        producer.begin_transaction()
        for number in range(partitions):
            producer.send("wide", b"%d" % attempt, partition=number)
        producer.flush()
        producer.commit_transaction()
        kill_all(own)
        producer.close(timeout=0)
        endpoints = up(own)
    if by == "command":
        monkeypatch.setenv("CROSSREC_KAFKA__BOOTSTRAP_SERVERS", endpoints.kafka_bootstrap)
        assert 0 == CliRunner().invoke(consumers_app, ["abort-hanging-transactions"]).exit_code
        assert "no transaction hangs\n" == CliRunner().invoke(consumers_app, ["abort-hanging-transactions"]).output
    with KafkaConsumer(
        bootstrap_servers=endpoints.kafka_bootstrap, isolation_level="read_committed", consumer_timeout_ms=5000
    ) as consumer:
        consumer.assign([TopicPartition("wide", number) for number in range(partitions)])
        consumer.seek_to_beginning()
        read = Counter(record.value for record in consumer)
    assert {b"0": partitions, b"1": partitions, b"2": partitions} == read


def test_up_starts_only_what_is_missing(own: InfraConfig) -> None:
    """If one server died, `up` starts that one and leaves the other alone."""
    first = up(own)
    before = pids(own)
    os.kill(before["valkey"] or 0, signal.SIGKILL)
    assert wait_until(lambda: pids(own)["valkey"] is None, timeout_s=10)
    assert up(own) == first
    assert pids(own)["kafka"] == before["kafka"]
    assert down(own) == ("valkey", "kafka")


def test_valkey_writes_an_append_only_file_and_no_snapshots(infra: Endpoints) -> None:
    """Durability comes from the append-only file alone, forced to disk every second."""
    with redis.Redis.from_url(infra.valkey_url, decode_responses=True) as client:
        found = {name: client.config_get(name)[name] for name in ("appendonly", "appendfsync", "save", "bind")}
    assert found == {"appendonly": "yes", "appendfsync": "everysec", "save": "", "bind": "127.0.0.1"}


def test_topics_are_created_as_specified(infra: Endpoints) -> None:
    """Every topic exists with its partitions and configuration; a second call creates nothing."""
    specs = topic_specs(prefix="as-specified")
    assert create_topics(infra.kafka_bootstrap, specs) == [spec.name for spec in specs]
    assert create_topics(infra.kafka_bootstrap, specs) == []
    with KafkaAdminClient(bootstrap_servers=infra.kafka_bootstrap) as admin:
        topics = {topic["name"]: topic for topic in admin.describe_topics([spec.name for spec in specs])}
        configs = admin.describe_configs([ConfigResource("topic", spec.name) for spec in specs], config_filter="all")[
            "topic"
        ]
    for spec in specs:
        assert len(topics[spec.name]["partitions"]) == spec.partitions
        assert {name: configs[spec.name][name]["value"] for name in spec.config} == spec.config


def test_topic_with_other_partitions_is_an_error(infra: Endpoints) -> None:
    """An existing topic is not altered; the error names it, what was found and what was wanted."""
    create_topics(infra.kafka_bootstrap, [TopicSpec("mismatch", 2, {}, "test")])
    with pytest.raises(TopicMismatch, match="topic mismatch has 2 partitions, wanted 3"):
        create_topics(infra.kafka_bootstrap, [TopicSpec("mismatch", 3, {}, "test")])


def test_down_does_not_signal_a_reused_pid(tmp_path: Path, foreign: subprocess.Popen[bytes]) -> None:
    """A recorded pid that now belongs to another process is not signalled, and its record is removed."""
    stale = ServerState({"client": 1}, ProcessRef(foreign.pid, started="at another time"))
    save_state(tmp_path, InfraState({"valkey": stale, "kafka": stale}))
    assert down(InfraConfig(tmp_path)) == ()
    assert foreign.poll() is None
    assert load_state(tmp_path).of("valkey") == ServerState({"client": 1})


def test_failed_start_shows_the_log_and_leaves_nothing_running(own: InfraConfig) -> None:
    """If Kafka ends while starting, the error holds its log's tail and Valkey is ended too."""
    storage = own.data_dir / "kafka" / "log"
    storage.mkdir(parents=True)
    (storage / "meta.properties").write_text("version=99\n")
    with pytest.raises(InfraFailed, match=r"(?s)kafka ended while starting; end of .*kafka\.log:.*version"):
        up(own)
    assert {server.condition for server in status(own)} == {"stopped"}


def test_command_line_starts_shows_and_stops(own: InfraConfig) -> None:
    """The commands do the same from the shell, and print settings as shell assignments."""
    runner, option = CliRunner(), ["--data-dir", str(own.data_dir)]
    started = runner.invoke(infra_app, ["up", *option])
    addresses = {server.name: server.address for server in status(own)}
    assert f"export CROSSREC_KAFKA__BOOTSTRAP_SERVERS={addresses['kafka']}\n" in started.output
    assert f"export CROSSREC_STORE__URL={addresses['valkey']}\n" in started.output
    assert runner.invoke(infra_app, ["status", *option]).exit_code == 0
    assert runner.invoke(infra_app, ["down", *option]).output == "stopped valkey and kafka\n"
    assert runner.invoke(infra_app, ["status", *option]).exit_code == 1
    assert runner.invoke(infra_app, ["down", *option]).output == "nothing was running\n"
