"""Faults of a store that is a cluster: nodes die, freeze and fail over, slots move, a replica is left behind."""

import random
import signal
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from tests.chaos.valkey_cluster import NODE_TIMEOUT_MS, ClusterNode, ValkeyCluster
from tests.waiting import wait_until

if TYPE_CHECKING:
    from tests.chaos.faults import Fault
    from tests.chaos.system import System

SLOTS_AT_ONCE = 40
"""Most slots that one fault moves."""

MISSED_S = 4.0
"""Least time for which a replica misses what is written, seconds."""

TIMEOUT_S = 170.0
"""Longest wait for the cluster to recover, seconds."""


def _cluster(system: "System") -> ValkeyCluster:
    if system.cluster is None:
        raise TypeError("the store is no cluster")
    return system.cluster


def _choose(fault: "Fault", cluster: ValkeyCluster) -> ClusterNode:
    """A primary, by the fault's own numbers."""
    primaries = sorted(cluster.primaries(), key=lambda node: node.port)
    return random.Random(fault.seconds).choice(primaries)


def _recover(cluster: ValkeyCluster) -> None:
    """Wait until every primary has its replica again: the next fault must not take the last copy of any slot."""
    wait_until(cluster.is_ok, timeout_s=TIMEOUT_S, interval_s=0.2, what="the cluster to recover")


def _wait_for_successor(cluster: ValkeyCluster, lost: ClusterNode) -> None:
    wait_until(lambda: _has_successor(cluster, lost), timeout_s=TIMEOUT_S, interval_s=0.2, what="a failover")


def _has_successor(cluster: ValkeyCluster, lost: ClusterNode) -> bool:
    """Whether the other nodes own all slots."""
    found = cluster.primaries(without=lost)
    return lost not in found and sum(len(cluster.slots(node)) for node in found) == cluster.slot_count


def kill_primary(system: "System", fault: "Fault") -> None:
    """Its replica takes over; it comes back as the replica."""
    cluster = _cluster(system)
    victim = _choose(fault, cluster)
    victim.kill()
    _wait_for_successor(cluster, victim)
    victim.start()
    _recover(cluster)


def restart_primary(system: "System", fault: "Fault") -> None:
    """Killed and started again at once, before or while its replica takes over."""
    cluster = _cluster(system)
    victim = _choose(fault, cluster)
    victim.kill()
    victim.start()
    _recover(cluster)


def kill_replica(system: "System", fault: "Fault") -> None:
    """A dead node that owns no slots."""
    cluster = _cluster(system)
    victim = cluster.replica_of(_choose(fault, cluster))
    if victim is None:
        raise AssertionError("a complete cluster has a replica of every primary")
    victim.kill()
    threading.Event().wait(fault.seconds)
    victim.start()
    _recover(cluster)


def pause_primary(system: "System", fault: "Fault") -> None:
    """Longer than the others wait for it: what it is asked when it resumes, it answers as the primary for a moment."""
    cluster = _cluster(system)
    victim = _choose(fault, cluster)
    victim.signal(signal.SIGSTOP)
    try:
        threading.Event().wait(max(fault.seconds, 2 * NODE_TIMEOUT_MS / 1000))
        _wait_for_successor(cluster, victim)
    finally:
        victim.signal(signal.SIGCONT)
    _recover(cluster)


def hand_over(system: "System", fault: "Fault") -> None:
    """CLUSTER FAILOVER, which loses nothing."""
    cluster = _cluster(system)
    replica = cluster.replica_of(_choose(fault, cluster))
    if replica is None:
        raise AssertionError("a complete cluster has a replica of every primary")
    cluster.fail_over(replica)
    _recover(cluster)


def move_slots(system: "System", fault: "Fault") -> None:
    """Between two primaries, while their rows are read and written."""
    cluster = _cluster(system)
    source = _choose(fault, cluster)
    chance = random.Random(fault.seconds)
    target = chance.choice([node for node in cluster.primaries() if node is not source])
    cluster.move_slots(source, target, SLOTS_AT_ONCE, chance)
    _recover(cluster)


def leave_behind(system: "System", fault: "Fault") -> None:
    """A replica is cut off, misses writes, and takes over when its primary dies: those writes are lost."""
    cluster = _cluster(system)
    primary = _choose(fault, cluster)
    replica = cluster.replica_of(primary)
    if replica is None:
        raise AssertionError("a complete cluster has a replica of every primary")
    # The primary has no password, so the replica's login fails.
    replica.ask("CONFIG", "SET", "masterauth", "none")
    primary.ask("CLIENT", "KILL", "TYPE", "replica")
    threading.Event().wait(max(fault.seconds, MISSED_S))
    primary.kill()
    replica.ask("CONFIG", "SET", "masterauth", "")
    _wait_for_successor(cluster, primary)
    primary.start()
    _recover(cluster)


CLUSTER_FAULTS: dict[str, Callable[["System", "Fault"], None]] = {
    "primary killed": kill_primary,
    "primary restarted": restart_primary,
    "replica killed": kill_replica,
    "primary paused": pause_primary,
    "failover": hand_over,
    "slots moved": move_slots,
}

LOSSES: dict[str, Callable[["System", "Fault"], None]] = {"replica left behind": leave_behind}
"""Faults that lose rows, where replicas are not waited for."""
