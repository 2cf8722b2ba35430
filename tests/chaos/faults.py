"""The faults: their kinds, a seeded schedule, and their injection."""

import random
import signal
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tests.chaos.cluster_faults import CLUSTER_FAULTS, LOSSES
from tests.chaos.system import System

SERVERS = ("kafka", "valkey")


@dataclass(frozen=True)
class Fault:
    """A fault of the schedule.

    Args:
        kind: one of KINDS.
        target: name of a consumer or server.
        seconds: its duration; killed processes are restarted at once.
        at: number of sent records at which it begins.
    """

    kind: str
    target: str
    seconds: float
    at: int


def _kill_consumer(system: System, fault: Fault) -> None:
    consumer = system.consumers[fault.target]
    consumer.kill()
    consumer.start()


def _pause_consumer(system: System, fault: Fault) -> None:
    """Longer than its session: when it resumes, other members have its partitions."""
    system.consumers[fault.target].signal(signal.SIGSTOP)
    threading.Event().wait(fault.seconds)
    system.consumers[fault.target].signal(signal.SIGCONT)


def _pause_server(system: System, fault: Fault) -> None:
    """Longer than its clients' time-outs: calls that timed out take effect when it resumes."""
    with system.paused(fault.target):
        threading.Event().wait(fault.seconds)


def _kill_server(system: System, fault: Fault) -> None:
    system.restart(fault.target)


def _cut(system: System, fault: Fault) -> None:
    system.proxies[fault.target].cut()
    threading.Event().wait(fault.seconds)
    system.proxies[fault.target].heal()


def _delay(system: System, fault: Fault) -> None:
    system.proxies[fault.target].delay(0.05)
    threading.Event().wait(fault.seconds)
    system.proxies[fault.target].heal()


INJECT: dict[str, Callable[[System, Fault], None]] = {
    "consumer killed": _kill_consumer,
    "consumer paused": _pause_consumer,
    "server paused": _pause_server,
    "valkey killed": _kill_server,
    "kafka killed": _kill_server,
    "connections cut": _cut,
    "connections delayed": _delay,
}
KINDS = tuple(INJECT)
ON_A_CLUSTER = tuple(kind for kind in KINDS if kind != "valkey killed") + tuple(CLUSTER_FAULTS)
"""The kinds where the store is a cluster, whose nodes are reached without a proxy."""

WITH_LOSSES = ON_A_CLUSTER + tuple(LOSSES)
INJECT |= CLUSTER_FAULTS | LOSSES


def draw_faults(
    seed: int, count: int, consumers: Sequence[str], session_s: float, records: int, among: Sequence[str] = KINDS
) -> list[Fault]:
    """Draw `count` faults spread over `records` records; every kind occurs before one is repeated."""
    chance = random.Random(seed)
    kinds: list[str] = []
    while len(kinds) < count:
        kinds += chance.sample(among, len(among))
    faults = []
    for number, kind in enumerate(kinds[:count]):
        seconds = session_s * chance.uniform(1.2, 1.8) if kind.endswith("paused") else chance.uniform(0.2, 3.0)
        if kind.startswith("consumer"):
            target = chance.choice(consumers)
        elif kind in CLUSTER_FAULTS or kind in LOSSES:
            target = "valkey"
        elif among is not KINDS:
            target = "kafka"
        else:
            target = kind.split()[0] if kind.endswith("killed") else chance.choice(SERVERS)
        # The first fault when events are being sent, the last while they still are.
        at = int(records * (0.03 + 0.94 * (number + chance.random()) / count))
        faults.append(Fault(kind, target, seconds, at))
    return faults
