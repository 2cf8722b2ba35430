"""The loop of every consumer: poll, fold, commit; transient failures are retried.

A batch's rows are written before its offsets are committed. A crash in between repeats the batch, and the positions in
the rows make the repetition change nothing. What Kafka does not take is set aside: no record stops a partition.
"""

import random
import threading
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Protocol

from services.consumers.batch_limit import BatchLimit
from services.consumers.dead_letters.record import MAX_BYTES, SMALL_BYTES, DeadLetter
from services.consumers.observer import KAFKA, ROWS, STORE, ConsumerObserver
from services.consumers.stoppable_encoder import Stopped
from services.errors import CrossRecError
from services.kafka.connection import KafkaUnavailable
from services.kafka.record_source import LostPartitions, OutputRecord, OutputsRejected, Record, RecordSource
from services.store.protocol import FencedWrite, RowsLost, StoreUnavailable

POLL_S = 0.5
"""Longest wait for records, and longest time between two checks of the stop event, seconds."""

BACKOFF_S = (0.1, 10.0)
"""First and longest wait between retries, seconds; doubled each time, with a jitter of one half."""


@dataclass(frozen=True)
class BatchResult:
    """Result of folding a batch whose rows are written.

    Args:
        outputs: records to produce.
        dead_letters: records that could not be folded, and why.
        records: how many records of the batch, from its beginning, were folded; the rest is folded after these are
            committed. None: all.
        counts: number of folded records by type of entry and outcome (`folded`, `repeated`, ...), for the metrics;
            without the dead letters. Empty: all the others were folded.
    """

    outputs: list[OutputRecord] = field(default_factory=list)
    dead_letters: list[DeadLetter] = field(default_factory=list)
    records: int | None = None
    counts: Counter[tuple[str, str]] = field(default_factory=Counter)


class BatchHandler(Protocol):
    """Folds the batches of a kind of consumer."""

    def fold(self, records: Sequence[Record]) -> BatchResult:
        """Fold the records, or the first of them, into the store.

        May be called again with the same records, alone or among others. Raises StoreUnavailable, FencedWrite, Stopped.
        """
        ...


class ConsumerLoop:
    """Feeds the batches of a record source to a handler until stopped.

    Args:
        source: yields batches; offsets and outputs are committed to it.
        handler: folds a batch.
        dead_letter_topic: topic of records that cannot be folded.
        stop: ends the loop after the current batch.
        jitter: spreads the waits between retries.
        observer: notified of every step.
    """

    def __init__(
        self,
        source: RecordSource,
        handler: BatchHandler,
        dead_letter_topic: str,
        stop: threading.Event,
        jitter: random.Random | None = None,
        observer: ConsumerObserver | None = None,
    ) -> None:
        self._source, self._handler, self._dead_letter_topic, self._stop = source, handler, dead_letter_topic, stop
        self._jitter = jitter or random.Random()  # noqa: S311 - spreads retries, guards nothing
        self._observer = observer or ConsumerObserver("any")
        self._limit = BatchLimit()

    def run(self) -> None:
        """Fold until the stop event; then finish and commit the current batch, and leave the group."""
        try:
            while not self._stop.is_set():
                self.step()
        finally:
            self._observer.on_stopping()
            self._source.close()

    def step(self) -> int:
        """One batch; returns how many records were folded and committed."""
        done = 0
        try:
            records = self._source.poll(POLL_S)
            self._observer.on_polled(records)
            while done < len(records) and records[done].unreadable:
                letter = DeadLetter(records[done], records[done].unreadable)
                done += self._commit_or_halve(records[done : done + 1], BatchResult(dead_letters=[letter]))
            while done < len(records):
                batch = self._limit.take(records, done)
                folded = self._fold_and_commit(batch)
                if folded is None:
                    return done
                done += folded
        except Stopped:
            return done
        except (LostPartitions, FencedWrite) as error:
            self._drop(error)
        except (KafkaUnavailable, StoreUnavailable) as error:
            self._report_failure(error)
            self._rewind()
        return done

    def _fold_and_commit(self, records: Sequence[Record]) -> int | None:
        """Fold and commit as many of the records as the handler folds at once; returns how many, None if dropped."""
        result = self._fold_with_retries(records)
        return None if result is None else self._commit_or_halve(records[: result.records], result)

    def _commit_or_halve(self, folded: Sequence[Record], result: BatchResult) -> int:
        """Commit records with what they put out; returns how many: all, or 0 if Kafka does not take it.

        Then half of them are tried, and so on down to one record, which is set aside. Rows were written by then, but a
        batch that is folded again changes nothing.
        """
        try:
            self._commit(folded, result)
        except OutputsRejected as error:
            if len(folded) == 1:
                self._set_aside(folded[0], result, error)
                return 1
            self._limit.halve(len(folded))
            return 0
        except KafkaUnavailable:
            self._limit.halve(len(folded))
            raise
        return len(folded)

    def _commit(self, records: Sequence[Record], result: BatchResult, dead_letter_bytes: int = MAX_BYTES) -> None:
        dead_letters = [each.output(self._dead_letter_topic, dead_letter_bytes) for each in result.dead_letters]
        outputs = self._observer.add_trace_headers(records, result.outputs)
        begun_s = time.monotonic()
        self._source.commit([*outputs, *dead_letters], records)
        self._observer.on_committed(records, result.dead_letters, result.counts, time.monotonic() - begun_s)

    def _set_aside(self, record: Record, result: BatchResult, error: OutputsRejected) -> None:
        """Commit a dead letter in place of what the record puts out; a small one, which every topic takes."""
        dead_letters = result.dead_letters or [DeadLetter(record, f"its activity cannot be stored: {error}")]
        try:
            self._commit([record], BatchResult(dead_letters=dead_letters), SMALL_BYTES)
        except OutputsRejected as again:
            raise KafkaUnavailable(f"{self._dead_letter_topic} takes no dead letter: {again}") from again

    def _fold_with_retries(self, records: Sequence[Record]) -> BatchResult | None:
        """The result of the batch; None if the partitions may be reassigned, or the stop event was set first."""
        while True:
            begun_s = time.monotonic()
            try:
                result = self._handler.fold(records)
            except StoreUnavailable as error:
                self._report_failure(error)
            else:
                took_s = time.monotonic() - begun_s
                self._limit.on_folded(len(records[: result.records]), took_s)
                self._observer.on_folded(took_s)
                return result
            if not self._keep_alive(self._backoff_s()):
                self._drop(LostPartitions("partitions were reassigned while the store was unavailable"))
                return None
            if self._stop.is_set():
                return None

    def _keep_alive(self, wait_s: float) -> bool:
        """Whether the partitions stayed assigned for `wait_s` seconds, or until the stop event."""
        while wait_s > 0 and not self._stop.is_set():
            if not self._source.keep_alive(min(wait_s, POLL_S)):
                return False
            wait_s -= POLL_S
        return True

    def _drop(self, reason: LostPartitions | FencedWrite) -> None:
        """Drop the batch and continue from the committed offsets."""
        self._observer.on_dropped(str(reason), fenced=isinstance(reason, FencedWrite))
        self._rewind()

    def _rewind(self) -> None:
        # Before a rewind the position may be past uncommitted records: reading on would skip them.
        while not self._stop.wait(self._backoff_s()):
            try:
                self._source.rewind()
            except (KafkaUnavailable, LostPartitions, StoreUnavailable) as error:
                self._report_failure(error)
                if isinstance(error, StoreUnavailable):
                    self._stay_in_group()
            else:
                return

    def _stay_in_group(self) -> None:
        """Take part in a rebalance, if there is one: other members of the group wait for this one."""
        with suppress(KafkaUnavailable, LostPartitions):
            self._source.keep_alive(POLL_S)

    def _report_failure(self, error: CrossRecError) -> None:
        what = ROWS if isinstance(error, RowsLost) else STORE if isinstance(error, StoreUnavailable) else KAFKA
        self._observer.on_failure(what, str(error))

    def _backoff_s(self) -> float:
        first, longest = BACKOFF_S
        wait: float = min(first * 2.0 ** min(self._observer.failures - 1, 16), longest)
        return wait * (0.5 + self._jitter.random() / 2)
