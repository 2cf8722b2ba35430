"""The way back from lost rows, as the production guide describes it: stop the consumers, rewind, start them."""

from services.consumers.rewind import rewind
from services.errors import ConfigurationError
from services.features.rows import Row
from services.kafka.connection import KafkaUnavailable
from services.store.protocol import Key, StoreUnavailable, read_rows
from tests.chaos.system import SCHEMA, System, wait_for

START_S = 900.0
"""Longest wait for killed consumers to join again, seconds."""


def rebuild(system: System) -> dict[Key, Row]:
    """Rebuild the rows of users and of activity; all consumers run before and afterwards.

    Returns the erasure marks that the store has: a rebuilt row holds no event from before the mark of its user.
    """
    wait_for(system.is_complete, "the consumers to start", START_S)
    for consumer in system.consumers.values():
        consumer.stop()
    wait_for(lambda: _is_rewound(system), "the rewind")
    marks: dict[Key, Row] = {}
    wait_for(lambda: _reads_marks(system, marks), "the erasure marks")
    for consumer in system.consumers.values():
        consumer.start()
    return marks


def _is_rewound(system: System) -> bool:
    """Whether a rewind succeeds now: members leave their groups a moment later, and servers may be recovering."""
    try:
        rewind(system.settings, SCHEMA, system.store, "behavior", 0.0)
    except (ConfigurationError, KafkaUnavailable, StoreUnavailable):
        return False
    return True


def _reads_marks(system: System, marks: dict[Key, Row]) -> bool:
    """Whether the store answers now; then its erasure marks are in `marks`."""
    view = SCHEMA["erased_user"]
    try:
        keys = list(system.store.ids(view))
        rows = read_rows(system.store, view, keys)
    except StoreUnavailable:
        return False
    marks.update((key, row) for key, row in zip(keys, rows, strict=True) if row is not None)
    return True
