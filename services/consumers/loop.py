"""The loop of every consumer: poll, fold, commit; what fails for a passing reason is tried again.

A batch's rows are written before its offsets are committed. A crash in between repeats the batch, and the rows'
positions make the repetition change nothing.
"""

import logging
import random
import threading
from collections.abc import Sequence
from typing import Protocol

from services.consumers.log import Log, LogUnavailable, LostPartitions, Output, Record
from services.runtime.logging import log_event
from services.store.protocol import FencedWrite, StoreUnavailable

POLL_S = 0.5
BACKOFF_S = (0.1, 10.0)
"""First and longest wait between tries, seconds; doubled each time, with jitter of a half."""

_logger = logging.getLogger(__name__)


class Folder(Protocol):
    """What a kind of consumer does with a batch."""

    def fold(self, records: Sequence[Record]) -> list[Output]:
        """Fold the records into the store; returns what to write to the log: deltas and dead letters.

        May be called again with the same records. Raises StoreUnavailable, FencedWrite.
        """
        ...


class Loop:
    """Runs a folder over a log until told to stop."""

    def __init__(self, log: Log, folder: Folder, stop: threading.Event, jitter: random.Random | None = None) -> None:
        self._log, self._folder, self._stop = log, folder, stop
        self._jitter = jitter or random.Random()  # noqa: S311 - spreads retries, guards nothing
        self._failures = 0

    def run(self) -> None:
        """Fold until the stop event; the batch in hand is finished and committed."""
        while not self._stop.is_set():
            self.step()
        self._log.close()

    def step(self) -> int:
        """One batch; returns how many records were folded and committed."""
        try:
            records = self._log.poll(POLL_S)
            if not records:
                return 0
            outputs = self._folded(records)
            if outputs is None:
                return 0
            self._log.commit(outputs)
        except (LostPartitions, FencedWrite) as error:
            log_event(_logger, "batch_dropped", level=logging.WARNING, reason=str(error))
            self._rewind()
            return 0
        except LogUnavailable as error:
            self._failed("log_unavailable", error)
            self._stop.wait(self._backoff_s())
            self._rewind()
            return 0
        self._recovered()
        return len(records)

    def _folded(self, records: Sequence[Record]) -> list[Output] | None:
        """The outputs of the batch; None if its partitions were lost, or a stop was asked for, while waiting."""
        while True:
            try:
                return self._folder.fold(records)
            except StoreUnavailable as error:
                self._failed("store_unavailable", error)
            if self._stop.is_set():
                return None
            if not self._log.keep_alive(self._backoff_s()):
                log_event(_logger, "batch_dropped", level=logging.WARNING, reason="partitions moved meanwhile")
                self._rewind()
                return None

    def _rewind(self) -> None:
        try:
            self._log.rewind()
        except (LogUnavailable, LostPartitions) as error:
            # The position stays past records that are not committed: reading on would skip them.
            self._failed("rewind_failed", error)
            self._stop.wait(self._backoff_s())
            if not self._stop.is_set():
                self._rewind()

    def _failed(self, event: str, error: Exception) -> None:
        self._failures += 1
        if self._failures == 1:
            log_event(_logger, event, level=logging.WARNING, reason=str(error))

    def _recovered(self) -> None:
        if self._failures:
            log_event(_logger, "recovered", tries=self._failures)
        self._failures = 0

    def _backoff_s(self) -> float:
        first, longest = BACKOFF_S
        wait: float = min(first * 2.0 ** min(self._failures - 1, 16), longest)
        return wait * (0.5 + self._jitter.random() / 2)
