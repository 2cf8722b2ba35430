"""Three real Kafka nodes on loopback, each broker and controller, out of the packages of the embedded one."""

import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kafka.admin import KafkaAdminClient
from kafka.errors import KafkaError

from services.infra.kafka import KafkaServer, default_cache_dir, format_storage, java_command, server_properties
from services.infra.ports import choose_port
from tests.waiting import wait_until

NODES = 3
HEAP_MB = 256
CLUSTER_ID = "crossrec-test-cluster0"

COPIES = {
    "offsets.topic.replication.factor": "3",
    "transaction.state.log.replication.factor": "3",
    "transaction.state.log.min.isr": "2",
    # A node that is late on a busy machine is not a dead one.
    "broker.session.timeout.ms": "9000",
}
"""Every internal topic has three copies, too."""


@dataclass
class KafkaNode:
    """One node: its files, ports and process."""

    number: int
    folder: Path
    ports: dict[str, int]
    command: Sequence[str] = ()
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.ports['client']}"

    def prepare(self, voters: str) -> None:
        """Write the configuration and format the storage."""
        storage = self.folder / "log"
        storage.mkdir(parents=True)
        own = {"node.id": str(self.number), "controller.quorum.voters": voters, **COPIES}
        properties = self.folder / "server.properties"
        # The last of two lines with one name counts.
        lines = "".join(f"{name}={value}\n" for name, value in own.items())
        properties.write_text(server_properties(storage, self.ports) + lines)
        java = java_command(self.folder, HEAP_MB, default_cache_dir())
        format_storage(java, properties, CLUSTER_ID)
        self.command = [*java, "kafka.Kafka", str(properties)]

    def start(self) -> None:
        with (self.folder / "kafka.log").open("ab") as log:
            self.process = subprocess.Popen(self.command, stdout=log, stderr=log)

    def answers(self) -> bool:
        return KafkaServer(self.folder, HEAP_MB, default_cache_dir()).is_ready(self.ports)

    def kill(self) -> None:
        """Kill it, as a crash would."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None


class KafkaCluster:
    """The nodes of one cluster."""

    def __init__(self, nodes: Sequence[KafkaNode]) -> None:
        self.nodes = {node.number: node for node in nodes}

    @property
    def bootstrap(self) -> str:
        return ",".join(node.address for node in self.nodes.values())

    def leader(self, topic: str, partition: int) -> int:
        """The number of the node that leads a partition."""
        return int(self._partitions(topic)[partition]["leader_id"])

    def is_whole(self, topics: Sequence[str]) -> bool:
        """Whether all copies of these topics are in sync."""
        try:
            return all(len(each["isr_nodes"]) == NODES for topic in topics for each in self._partitions(topic).values())
        except KafkaError:
            return False

    def _partitions(self, topic: str) -> dict[int, dict[str, Any]]:
        with KafkaAdminClient(bootstrap_servers=self.bootstrap) as admin:
            (found,) = admin.describe_topics([topic])
        return {each["partition_index"]: each for each in found["partitions"]}


@contextmanager
def kafka_cluster(folder: Path) -> Iterator[KafkaCluster]:
    """A running cluster; its processes are killed at the end."""
    taken: list[int] = []
    nodes = []
    for number in range(1, NODES + 1):
        ports = {}
        for role in KafkaServer.port_roles:
            taken.append(choose_port(0, None, taken))
            ports[role] = taken[-1]
        nodes.append(KafkaNode(number, folder / f"node{number}", ports))
    voters = ",".join(f"{node.number}@127.0.0.1:{node.ports['controller']}" for node in nodes)
    cluster = KafkaCluster(nodes)
    try:
        for node in nodes:
            node.prepare(voters)
        for node in nodes:
            node.start()
        wait_until(lambda: all(node.answers() for node in nodes), what="three brokers", interval_s=0.5)
        yield cluster
    finally:
        for node in nodes:
            node.kill()
