"""The loop of every consumer: poll, fold, commit; what fails for a passing reason is tried again.

A batch's rows are written before its offsets are committed. A crash in between repeats the batch, and the rows'
positions make the repetition change nothing.
"""

import random
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from services.consumers.dead_letters.record import DeadLetter
from services.consumers.observer import LOG, STORE, ConsumerObserver
from services.errors import CrossRecError
from services.kafka.record_source import KafkaUnavailable, LostPartitions, OutputRecord, Record, RecordSource
from services.store.protocol import FencedWrite, StoreUnavailable

POLL_S = 0.5
"""Longest wait for records, and longest time that passes between two looks at the stop event, seconds."""

BACKOFF_S = (0.1, 10.0)
"""First and longest wait between tries, seconds; doubled each time, with jitter of a half."""


@dataclass(frozen=True)
class BatchResult:
    """What is left to do once the rows of a batch are written.

    Args:
        outputs: records to produce.
        dead_letters: records that could not be folded, and why.
        records: how many of the batch, from its beginning, were folded; the rest is folded once these are
            committed. None: all.
        counts: how many of them by type of entry and what became of it (`folded`, `repeated`, ...), for the metrics;
            without the dead letters. Empty: all the others were folded.
    """

    outputs: list[OutputRecord] = field(default_factory=list)
    dead_letters: list[DeadLetter] = field(default_factory=list)
    records: int | None = None
    counts: Counter[tuple[str, str]] = field(default_factory=Counter)


class BatchHandler(Protocol):
    """What a kind of consumer does with a batch."""

    def fold(self, records: Sequence[Record]) -> BatchResult:
        """Fold the records, or the first of them, into the store.

        May be called again with the same records, alone or among others. Raises StoreUnavailable, FencedWrite.
        """
        ...


class ConsumerLoop:
    """Runs a handler over a log until told to stop.

    Args:
        log: where batches come from; positions and outputs are committed to it.
        handler: folds a batch.
        dead_letter_topic: where records go that cannot be folded.
        stop: ends the loop after the batch in hand.
        jitter: spreads the waits between tries.
        watch: told what happens.
    """

    def __init__(
        self,
        log: RecordSource,
        handler: BatchHandler,
        dead_letter_topic: str,
        stop: threading.Event,
        jitter: random.Random | None = None,
        watch: ConsumerObserver | None = None,
    ) -> None:
        self._log, self._folder, self._dead_letter_topic, self._stop = log, handler, dead_letter_topic, stop
        self._jitter = jitter or random.Random()  # noqa: S311 - spreads retries, guards nothing
        self._watch = watch or ConsumerObserver("any")

    def run(self) -> None:
        """Fold until the stop event; the batch in hand is finished and committed, then the group is left."""
        try:
            while not self._stop.is_set():
                self.step()
        finally:
            self._watch.stopping()
            self._log.close()

    def step(self) -> int:
        """One batch; returns how many records were folded and committed."""
        done = 0
        try:
            records = self._log.poll(POLL_S)
            self._watch.polled(records)
            while done < len(records):
                taken = self._fold_next(records[done:])
                if not taken:
                    return done
                done += taken
        except (LostPartitions, FencedWrite) as error:
            self._drop(error)
        except (KafkaUnavailable, StoreUnavailable) as error:
            self._failed(error)
            self._rewind()
        return done

    def _fold_next(self, records: Sequence[Record]) -> int:
        """Fold and commit what the handler takes of the records at once; returns how many, 0 if they were given up."""
        outcome = self._folded(records)
        if outcome is None:
            return 0
        taken = len(records) if outcome.records is None else outcome.records
        letters = [letter.output(self._dead_letter_topic) for letter in outcome.dead_letters]
        outputs = self._watch.outgoing(records[:taken], outcome.outputs)
        begun_s = time.monotonic()
        self._log.commit([*outputs, *letters], records[:taken])
        took_s = time.monotonic() - begun_s
        self._watch.committed(records[:taken], outcome.dead_letters, outcome.counts, took_s)
        return taken

    def _folded(self, records: Sequence[Record]) -> BatchResult | None:
        """The outcome of the batch; None if it may belong to another consumer now, or a stop came first."""
        while True:
            begun_s = time.monotonic()
            try:
                outcome = self._folder.fold(records)
            except StoreUnavailable as error:
                self._failed(error)
            else:
                self._watch.folded(time.monotonic() - begun_s)
                return outcome
            if not self._kept_through(self._backoff_s()):
                self._drop(LostPartitions("partitions moved while the store was away"))
                return None
            if self._stop.is_set():
                return None

    def _kept_through(self, wait_s: float) -> bool:
        """Whether the batch stayed ours for `wait_s` seconds, or until a stop."""
        while wait_s > 0 and not self._stop.is_set():
            if not self._log.keep_alive(min(wait_s, POLL_S)):
                return False
            wait_s -= POLL_S
        return True

    def _drop(self, reason: LostPartitions | FencedWrite) -> None:
        """Give the batch up and go on from what is committed."""
        self._watch.dropped(str(reason), fenced=isinstance(reason, FencedWrite))
        self._rewind()

    def _rewind(self) -> None:
        # Until it succeeds the position may stay past records that are not committed: reading on would skip them.
        while not self._stop.wait(self._backoff_s()):
            try:
                self._log.rewind()
            except (KafkaUnavailable, LostPartitions, StoreUnavailable) as error:
                self._failed(error)
            else:
                return

    def _failed(self, error: CrossRecError) -> None:
        self._watch.failed(STORE if isinstance(error, StoreUnavailable) else LOG, str(error))

    def _backoff_s(self) -> float:
        first, longest = BACKOFF_S
        wait: float = min(first * 2.0 ** min(self._watch.tries - 1, 16), longest)
        return wait * (0.5 + self._jitter.random() / 2)
