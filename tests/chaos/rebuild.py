"""The way back from lost rows, as the production guide describes it: stop the consumers, rewind, start them."""

from services.consumers.rewind import rewind
from services.errors import ConfigurationError
from services.kafka.connection import KafkaUnavailable
from services.store.protocol import StoreUnavailable
from tests.chaos.system import SCHEMA, System, wait_for

START_S = 900.0
"""Longest wait for killed consumers to join again, seconds."""


def rebuild(system: System) -> None:
    """Rebuild the rows of users and of activity; all consumers run before and afterwards."""
    wait_for(system.is_complete, "the consumers to start", START_S)
    for consumer in system.consumers.values():
        consumer.stop()
    wait_for(lambda: _is_rewound(system), "the rewind")
    for consumer in system.consumers.values():
        consumer.start()


def _is_rewound(system: System) -> bool:
    """Whether a rewind succeeds now: members leave their groups a moment later, and servers may be recovering."""
    try:
        rewind(system.settings, SCHEMA, system.store, "behavior", 0.0)
    except (ConfigurationError, KafkaUnavailable, StoreUnavailable):
        return False
    return True
