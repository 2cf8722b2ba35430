"""The system under test: a real Kafka and Valkey behind proxies, topics, a store, and consumer processes."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from kafka import KafkaConsumer, TopicPartition
from kafka.admin import KafkaAdminClient

from services.features.schema import build_schema
from services.infra.commands import InfraConfig, down, up
from services.infra.ports import choose_port
from services.infra.process import ProcessRef, is_alive
from services.infra.state import load_state
from services.kafka.groups import GroupAdmin
from services.kafka.topics import create_topics, topic_specs
from services.settings.infrastructure import KafkaSettings, StoreSettings
from services.settings.load import Settings
from services.settings.processes import CONSUMED_TOPICS, ConsumerSettings
from services.store.connect import open_rows_for_batches
from services.store.protocol import OnlineStore
from tests.chaos.proxy import Proxy
from tests.chaos.valkey_cluster import ValkeyCluster, valkey_cluster
from tests.waiting import wait_until

PREFIX = "chaos"
TIMEOUT_S = 180.0
"""Time without progress after which a campaign counts as hung, seconds."""

POLL_S = 0.1
SETTINGS = Settings.model_construct().features
SCHEMA = build_schema(SETTINGS)


class CampaignFailed(Exception):
    """A process died, or an expected event did not occur in time."""


class ConsumerProcess:
    """A consumer process, with a log file that is kept across restarts."""

    def __init__(self, kind: str, name: str, environment: dict[str, str], log: Path) -> None:
        self.kind, self.name, self.log, self._environment = kind, name, log, environment
        self._process: subprocess.Popen[bytes] | None = None
        self._begins = 0

    def start(self) -> None:
        self._begins = self.log.stat().st_size if self.log.exists() else 0
        command = [sys.executable, "-W", "ignore", "-m", "tests.chaos.consumer", self.kind]
        with self.log.open("ab") as output:
            self._process = subprocess.Popen(command, stdout=output, stderr=output, env=self._environment)

    def has_joined(self) -> bool:
        """Whether it has been assigned partitions since its last start; raises CampaignFailed if it died."""
        self.check()
        return self.logged(b"rebalanced")

    def logged(self, text: bytes) -> bool:
        """Whether the log since the last start has this text."""
        return text in self.log.read_bytes()[self._begins :]

    def signal(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(number)

    def kill(self) -> None:
        """Kill it, as a crash would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def stop(self) -> None:
        """Stop it with SIGTERM; it must exit."""
        process, self._process = self._process, None  # it does not die by itself
        if process is None:
            return
        process.terminate()
        try:
            code = process.wait(300)
        except subprocess.TimeoutExpired as error:
            process.kill()
            process.wait()
            raise CampaignFailed(f"{self.name} ignored SIGTERM; its log is {self.log}") from error
        if code:
            raise CampaignFailed(f"{self.name} ended with {code}; its log is {self.log}")

    def check(self) -> None:
        """Raise CampaignFailed if it died by itself."""
        code = None if self._process is None else self._process.poll()
        if code is not None and code != -signal.SIGKILL:
            raise CampaignFailed(f"{self.name} died by itself with {code}; its log is {self.log}")


@dataclass
class System:
    """Servers, proxies and processes of one campaign."""

    infra: InfraConfig
    directory: Path
    settings: Settings
    store: OnlineStore
    proxies: dict[str, Proxy]
    consumers: dict[str, ConsumerProcess]
    cluster: ValkeyCluster | None = None

    def store_addresses(self) -> list[str]:
        """Where the rows are: a server, or the primaries of a cluster."""
        if self.cluster is None:
            return [f"127.0.0.1:{self.infra.valkey_port}"]
        return [node.address for node in self.cluster.primaries()]

    def has_lost_rows(self) -> bool:
        """Whether a consumer has reported, since its last start, that the store lost rows."""
        return any(consumer.logged(b'"rows_lost"') for consumer in self.consumers.values())

    def restart(self, server: str) -> None:
        """Kill a server as a crash would, and start it again."""
        process = self._process(server)
        os.kill(process.pid, signal.SIGKILL)
        wait_for(lambda: not is_alive(process), f"{server} to die")
        up(self.infra)

    @contextmanager
    def paused(self, server: str) -> Iterator[None]:
        """Pause a server within the context; its connections stay open."""
        process = self._process(server)
        os.kill(process.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(process.pid, signal.SIGCONT)

    def _process(self, server: str) -> ProcessRef:
        process = load_state(self.infra.data_dir).of(server).process
        if process is None:
            raise CampaignFailed(f"{server} does not run")
        return process

    def committed(self, kind: str) -> int:
        """Number of committed offsets of the group, over all partitions; raises KafkaError while it is unknown."""
        with KafkaAdminClient(bootstrap_servers=self.settings.kafka.bootstrap_servers) as admin:
            topic = f"{PREFIX}.{CONSUMED_TOPICS[kind]}"
            return sum(GroupAdmin(admin).committed_offsets(self.settings.group(kind), topic).values())

    def end(self, kind: str) -> int:
        """The sum of the end offsets of the topic's partitions."""
        topic = f"{PREFIX}.{CONSUMED_TOPICS[kind]}"
        with KafkaConsumer(bootstrap_servers=self.settings.kafka.bootstrap_servers) as consumer:
            partitions = [TopicPartition(topic, number) for number in consumer.partitions_for_topic(topic)]
            return int(sum(consumer.end_offsets(partitions).values()))

    def is_complete(self) -> bool:
        """Whether every consumer has joined its group; raises CampaignFailed if one died by itself."""
        return all(consumer.has_joined() for consumer in self.consumers.values())

    def check(self) -> None:
        """Raise CampaignFailed if a consumer died by itself."""
        for consumer in self.consumers.values():
            consumer.check()


def wait_for(condition: Callable[[], bool], what: str, timeout_s: float = TIMEOUT_S) -> None:
    """Wait until the condition holds; raises CampaignFailed after `timeout_s` seconds."""
    try:
        wait_until(condition, timeout_s=timeout_s, interval_s=POLL_S, what=what)
    except AssertionError as error:
        raise CampaignFailed(str(error)) from error


@contextmanager
def start_system(directory: Path, behavior: int, activity: int, wait_replicas: int | None = None) -> Iterator[System]:
    """Start servers and proxies, with the given numbers of consumers; all are stopped at the end of the context.

    `wait_replicas`: the store is a cluster, and consumers wait for this many replicas; None: a single server.
    """
    ports = [choose_port(0, None, ())]
    for _ in range(3):
        ports.append(choose_port(0, None, ports))
    kafka, valkey, kafka_proxy, valkey_proxy = ports
    infra = InfraConfig(
        directory / "infra",
        kafka_port=kafka,
        valkey_port=valkey,
        kafka_advertised_port=kafka_proxy,
        valkey_fsync="always",
        start_timeout_s=300,
    )
    with ExitStack() as stack:
        proxies = {
            "kafka": stack.enter_context(Proxy(kafka, kafka_proxy)),
            "valkey": stack.enter_context(Proxy(valkey, valkey_proxy)),
        }
        stack.callback(down, infra)
        up(infra)
        cluster, direct_url, url = None, f"127.0.0.1:{valkey}", f"127.0.0.1:{valkey_proxy}"
        if wait_replicas is not None:
            cluster = stack.enter_context(valkey_cluster(directory / "cluster"))
            direct_url = url = cluster.url
        settings = _settings(directory, kafka_proxy, url, wait_replicas or 0)
        create_topics(settings.kafka.bootstrap_servers, topic_specs(PREFIX, settings.kafka.partitions))
        direct = settings.store.model_copy(update={"url": direct_url})
        store = open_rows_for_batches(settings.model_copy(update={"store": direct}))
        consumers = {}
        for kind, count in (("behavior", behavior), ("activity", activity)):
            for number in range(count):
                name = f"{kind}-{number}"
                consumer = ConsumerProcess(kind, name, _environment(settings), directory / f"{name}.log")
                stack.callback(consumer.kill)
                consumers[name] = consumer
        yield System(infra, directory, settings, store, proxies, consumers, cluster)


def _settings(directory: Path, kafka: int, url: str, wait_replicas: int) -> Settings:
    return Settings(
        kafka=KafkaSettings(bootstrap_servers=f"127.0.0.1:{kafka}", topic_prefix=PREFIX),
        store=StoreSettings(
            url=url,
            project=PREFIX,
            registry=directory / "registry.db",
            offline_dir=directory,
            wait_replicas=wait_replicas,
        ),
        consumers=ConsumerSettings(group_prefix=PREFIX, max_poll_records=500, unregistered_scenarios="accept"),
        features=SETTINGS,
    )


def _environment(settings: Settings) -> dict[str, str]:
    """The settings as environment variables."""
    chosen = {
        "KAFKA__BOOTSTRAP_SERVERS": settings.kafka.bootstrap_servers,
        "KAFKA__TOPIC_PREFIX": settings.kafka.topic_prefix,
        "STORE__URL": settings.store.url,
        "STORE__WAIT_REPLICAS": str(settings.store.wait_replicas),
        "STORE__PROJECT": settings.store.project,
        "STORE__REGISTRY": str(settings.store.registry),
        "CONSUMERS__GROUP_PREFIX": settings.group_prefix,
        "CONSUMERS__UNREGISTERED_SCENARIOS": settings.consumers.unregistered_scenarios,
        "CONSUMERS__MAX_POLL_RECORDS": str(settings.consumers.max_poll_records),
    }
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("CROSSREC_")}
    cache = {name: value for name, value in os.environ.items() if name == "CROSSREC_CACHE_DIR"}
    # One thread per process is enough: more would compete for the cores.
    return {**inherited, **cache, "OMP_NUM_THREADS": "1"} | {f"CROSSREC_{name}": v for name, v in chosen.items()}
