"""The served log: a thread writes a sample of the answers, off the request path.

A request only enqueues references; when the thread or Kafka is too slow, answers are dropped and counted. Knows
sampling, queueing and counting; the sink knows where records go.
"""

import logging
import queue
import random
import threading
import time
from collections.abc import Callable

from services.kafka.sink import KeyedRecord, RecordSink
from services.ranking.outcome import RankOutcome, RankTrace
from services.ranking.served_log.record import build_record
from services.ranking.validate import RankQuery
from services.server.logging import log_event

BATCH = 32
"""Most records per write."""

IDLE_S = 0.5
"""How long the thread waits for an answer before it checks whether to stop."""

SampledAnswer = tuple[float, RankQuery, RankTrace]
"""Time of an answer, seconds since 1970, its query and its trace; none of it may change afterwards."""

_logger = logging.getLogger(__name__)


class ServedLog:
    """Writes a sample of the answers (an observer of the pipeline).

    Args:
        sink: writes the records.
        schema_fingerprint: of the feature schema.
        share: of the answers, sampled at random; above 0.
        waiting: longest queue; more answers are dropped.
        feature_items: items of an answer whose features are written.
        clock: seconds since 1970.

    `written`, `dropped` and `failed` count answers: written by the sink; lost because the queue was full or the sink
    could not write; lost because no record could be built.
    """

    def __init__(
        self,
        sink: RecordSink,
        schema_fingerprint: int,
        share: float,
        waiting: int,
        feature_items: int,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._sink, self._fingerprint, self._share, self._clock = sink, schema_fingerprint, share, clock
        self._feature_items = feature_items
        self._queue: queue.Queue[SampledAnswer] = queue.Queue(waiting)
        self._rejected_lock, self._rejected = threading.Lock(), 0
        self.written, self.failed, self._lost = 0, 0, 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="served-log", daemon=True)

    @property
    def dropped(self) -> int:
        """Answers that were sampled and lost."""
        return self._rejected + self._lost

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Write the queued answers, as far as the sink accepts them, and stop."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()
        self._sink.close()

    def on_ranked(self, outcome: RankOutcome) -> None:
        """Enqueue an answer that a model ranked, or drop it; returns at once."""
        if outcome.trace is None or random.random() >= self._share:  # noqa: S311 - a sample, not a secret
            return
        try:
            self._queue.put_nowait((self._clock(), outcome.query, outcome.trace))
        except queue.Full:
            with self._rejected_lock:
                self._rejected += 1

    def _run(self) -> None:
        while batch := self._next_batch():
            if not self._sink.ready():
                self._lost += len(batch)
                continue
            records = [record for answer in batch if (record := self._record(*answer))]
            written = self._sink.write(records) if records else 0
            self.written += written
            self._lost += len(records) - written

    def _next_batch(self) -> list[SampledAnswer]:
        """Queued answers, at least one; empty once the log is stopped."""
        while True:
            try:
                batch = [self._queue.get(timeout=0 if self._stop.is_set() else IDLE_S)]
            except queue.Empty:
                if self._stop.is_set():
                    return []
                continue
            while len(batch) < BATCH and not self._queue.empty():
                batch.append(self._queue.get_nowait())
            return batch

    def _record(self, served_s: float, query: RankQuery, trace: RankTrace) -> KeyedRecord | None:
        try:
            record = build_record(query, trace, served_s, self._fingerprint, self._feature_items)
            return KeyedRecord(record.user_id.encode(), record.SerializeToString())
        except Exception as error:
            # One faulty answer must not end the thread; it is counted, and the first one is logged.
            self.failed += 1
            if self.failed == 1:
                log_event(_logger, "served_record_failed", level=logging.ERROR, exc_info=error)
            return None
