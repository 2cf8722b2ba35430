"""A behaviour consumer that kills itself by SIGKILL at a point that a signal from outside cannot hit reliably.

Run as `python -m tests.integration.crashing_consumer MOMENT COUNT`: MOMENT is `user_scenario` or `user` (right
after rows of that view were written), `transaction` (outputs and offsets were sent, but are not committed) or
`never`; COUNT is the number of the occurrence that is fatal.
"""

import os
import signal
import sys
from collections.abc import Callable, Sequence
from typing import Any

from kafka import KafkaProducer

from services.consumers.main import run_consumer
from services.features.rows import Block
from services.settings.load import load_settings
from services.store.protocol import Key
from services.store.redis.feast_rows import FeastRowStore
from services.text.protocol import HashingEncoder


def kill_at(moment: str, count: int) -> None:
    """Patch the writes and commits so that the chosen one kills the process."""
    left = [count]
    write: Callable[..., None] = FeastRowStore.write
    commit: Callable[..., Any] = KafkaProducer.commit_transaction

    def passed(now: str) -> None:
        left[0] -= now == moment
        if not left[0]:
            os.kill(os.getpid(), signal.SIGKILL)

    def fatal_write(self: FeastRowStore, keys: Sequence[Key], block: Block) -> None:
        write(self, keys, block)
        passed(block.view.name)

    def fatal_commit(self: KafkaProducer) -> Any:
        passed("transaction")
        return commit(self)

    FeastRowStore.write = fatal_write  # type: ignore[method-assign]
    KafkaProducer.commit_transaction = fatal_commit


if __name__ == "__main__":
    kill_at(sys.argv[1], int(sys.argv[2]))
    run_consumer("behavior", load_settings(), HashingEncoder)
