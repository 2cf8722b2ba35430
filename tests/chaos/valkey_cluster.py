"""A real Valkey cluster on loopback: primaries and replicas out of the package's binary, without a command-line client.

Nodes can be killed, paused, restarted and failed over, and slots moved between them.
"""

import os
import random
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import redis
from redis.crc import key_slot

from services.infra.ports import choose_port
from services.infra.valkey import server_binary
from tests.waiting import wait_until

SLOTS = 16384
NODE_TIMEOUT_MS = 2000
"""Milliseconds of silence after which the other nodes take a node for dead."""

PRIMARIES = 3
KEYS_AT_ONCE = 100


@dataclass
class ClusterNode:
    """One node: its process and its files.

    Args:
        port: of clients.
        bus: port of the other nodes.
        folder: its data and its log.
        options: further options of the server.
    """

    port: int
    bus: int
    folder: Path
    options: dict[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def client(self) -> redis.Redis:
        return redis.Redis("127.0.0.1", self.port, socket_timeout=10)

    def start(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        options = {
            "bind": "127.0.0.1",
            "port": str(self.port),
            "cluster-enabled": "yes",
            "cluster-port": str(self.bus),
            "cluster-node-timeout": str(NODE_TIMEOUT_MS),
            # A replica takes over however old its data is: losses must be noticed by the product.
            "cluster-replica-validity-factor": "0",
            "cluster-migration-barrier": "999",
            "dir": str(self.folder),
            "save": "",
            "appendonly": "yes",
            "appendfsync": "always",
            "repl-diskless-sync-delay": "0",
            **self.options,
        }
        command = [str(server_binary()), *(part for name, value in options.items() for part in (f"--{name}", value))]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log)

    def signal(self, number: signal.Signals) -> None:
        if self.process is not None:
            os.kill(self.process.pid, number)

    def kill(self) -> None:
        """Kill it, as a crash would; a paused one, too."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def answers(self) -> bool:
        try:
            with self.client() as client:
                return bool(client.ping())
        except (OSError, redis.RedisError):
            return False

    def ask(self, *command: Any) -> Any:
        with self.client() as client:
            return client.execute_command(*command)


class ValkeyCluster:
    """The nodes of one cluster, by index; the first PRIMARIES begin as primaries."""

    def __init__(self, nodes: Sequence[ClusterNode]) -> None:
        self.nodes = list(nodes)

    slot_count = SLOTS

    @property
    def url(self) -> str:
        """As the setting store.url names it."""
        return ",".join(node.address for node in self.nodes)

    def info(self, node: ClusterNode, section: str = "replication") -> dict[str, Any]:
        with node.client() as client:
            about: Any = client.info(section)
            return dict(about)

    def primaries(self, without: ClusterNode | None = None) -> list[ClusterNode]:
        """Nodes that own slots, as a living node sees it, other than the one that is not asked."""
        table = self._table(without)
        return [node for node, flags, slots in table if "master" in flags and slots and "fail" not in flags]

    def replica_of(self, primary: ClusterNode) -> ClusterNode | None:
        """A replica of the node that is connected to it."""
        identifier = self._id(primary)
        for node in self.nodes:
            if node is not primary and node.answers():
                is_attached = self.info(node).get("master_link_status") == "up"
                if is_attached and self._row_of(node)[3] == identifier:
                    return node
        return None

    def wait_until_ok(self) -> None:
        """All nodes live, agree that all slots are served, and every primary has a connected replica."""
        wait_until(self.is_ok, interval_s=0.1, what="the cluster to be complete")

    def is_ok(self) -> bool:
        try:
            for node in self.nodes:
                about = node.ask("CLUSTER", "INFO").decode().split()
                if "cluster_state:ok" not in about or f"cluster_slots_ok:{SLOTS}" not in about:
                    return False
                if any("fail" in row[2] or "handshake" in row[2] for row in self._rows(node)):
                    return False
            primaries = self.primaries()
            spare = len(self.nodes) > len(primaries)
            return len(primaries) >= 1 and (not spare or all(self.replica_of(node) for node in primaries))
        except (OSError, redis.RedisError):
            return False

    def fail_over(self, replica: ClusterNode) -> None:
        """Let a replica take over from its living primary, without loss."""
        replica.ask("CLUSTER", "FAILOVER")
        # By its own word, and by that of the node that is asked for the primaries.
        wait_until(lambda: self.info(replica)["role"] == "master" and replica in self.primaries(), what="the failover")

    def move_slots(self, source: ClusterNode, target: ClusterNode, count: int, chance: random.Random) -> int:
        """Move slots that hold keys one by one, as resharding does; returns how many keys moved."""
        with source.client() as client:
            occupied = {key_slot(key) for key in client.scan_iter(count=1000)}
        slots, moved = sorted(occupied & self.slots(source)), 0
        for slot in chance.sample(slots, min(count, len(slots))):
            moved += self._move_slot(slot, source, target)
        return moved

    def _move_slot(self, slot: int, source: ClusterNode, target: ClusterNode) -> int:
        target.ask("CLUSTER", "SETSLOT", slot, "IMPORTING", self._id(source))
        source.ask("CLUSTER", "SETSLOT", slot, "MIGRATING", self._id(target))
        moved = 0
        while keys := source.ask("CLUSTER", "GETKEYSINSLOT", slot, KEYS_AT_ONCE):
            for key in keys:
                source.ask("MIGRATE", "127.0.0.1", target.port, key, 0, 10_000)
            moved += len(keys)
        # The target first: until it knows, the source answers ASK.
        for node in (target, source, *(n for n in self.primaries() if n not in (source, target))):
            node.ask("CLUSTER", "SETSLOT", slot, "NODE", self._id(target))
        return moved

    def _id(self, node: ClusterNode) -> str:
        found = node.ask("CLUSTER", "MYID")
        return found.decode() if isinstance(found, bytes) else str(found)

    def slots(self, node: ClusterNode) -> set[int]:
        """The slots that the node says it owns."""
        owned: set[int] = set()
        for part in self._row_of(node)[8:]:
            if not part.startswith("["):
                begin, _, end = part.partition("-")
                owned |= set(range(int(begin), int(end or begin) + 1))
        return owned

    def _row_of(self, node: ClusterNode) -> list[str]:
        return next(row for row in self._rows(node) if "myself" in row[2])

    @staticmethod
    def _rows(node: ClusterNode) -> list[list[str]]:
        """The lines of CLUSTER NODES: id, address, flags, primary, ping, pong, epoch, link, slots."""
        return [line.split() for line in node.ask("CLUSTER", "NODES").decode().splitlines()]

    def _table(self, without: ClusterNode | None = None) -> list[tuple[ClusterNode, str, list[str]]]:
        by_port = {node.port: node for node in self.nodes}
        for node in self.nodes:
            if node is not without and node.answers():
                rows = self._rows(node)
                ports = [int(row[1].split("@")[0].rpartition(":")[2]) for row in rows]
                return [(by_port[p], r[2], r[8:]) for p, r in zip(ports, rows, strict=True) if p in by_port]
        return []


@contextmanager
def valkey_cluster(folder: Path, replicas: int = 1, **options: str) -> Iterator[ValkeyCluster]:
    """Start a cluster of PRIMARIES primaries with `replicas` replicas each; all nodes are killed at the end."""
    count, ports = PRIMARIES * (1 + replicas), list[int]()
    for _ in range(2 * count):
        ports.append(choose_port(0, None, ports))
    given = {name.replace("_", "-"): value for name, value in options.items()}
    nodes = [ClusterNode(ports[n], ports[count + n], folder / f"node-{n}", given) for n in range(count)]
    cluster = ValkeyCluster(nodes)
    try:
        for node in nodes:
            node.start()
        for node in nodes:
            wait_until(node.answers, what="a node to answer")
        _join(cluster, nodes)
        yield cluster
    finally:
        for node in nodes:
            node.kill()


def _join(cluster: ValkeyCluster, nodes: Sequence[ClusterNode]) -> None:
    bounds = [SLOTS * n // PRIMARIES for n in range(PRIMARIES + 1)]
    for number, node in enumerate(nodes):
        node.ask("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
        if number < PRIMARIES:
            node.ask("CLUSTER", "ADDSLOTSRANGE", bounds[number], bounds[number + 1] - 1)
    for node in nodes[1:]:
        nodes[0].ask("CLUSTER", "MEET", "127.0.0.1", node.port, node.bus)
    wait_until(lambda: all(_knows_all(cluster, node, len(nodes)) for node in nodes), what="the nodes to meet")
    for number, node in enumerate(nodes[PRIMARIES:]):
        identifier = cluster._id(nodes[number % PRIMARIES])
        wait_until(lambda n=node, i=identifier: _replicates(n, i), what="a replica to be attached")  # type: ignore[misc]
    cluster.wait_until_ok()


def _knows_all(cluster: ValkeyCluster, node: ClusterNode, count: int) -> bool:
    rows = cluster._rows(node)
    return len(rows) == count and not any("handshake" in row[2] for row in rows)


def _replicates(node: ClusterNode, identifier: str) -> bool:
    try:
        node.ask("CLUSTER", "REPLICATE", identifier)
    except redis.ResponseError:
        return False
    return True
