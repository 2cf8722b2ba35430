"""Takes answered requests off the request path and has a thread write a sample of them.

A request leaves references and goes; where the thread or Kafka cannot keep up, requests are dropped and counted.
Knows sampling, waiting and counting; where records go is the sink's matter.
"""

import logging
import queue
import random
import threading
import time
from collections.abc import Callable

from services.kafka.sink import KeyedRecord, RecordSink
from services.ranking.outcome import Answered, Ranking
from services.ranking.served_log.record import record_of
from services.ranking.validate import Request
from services.server.logging import log_event

BATCH = 32
"""Most records written at once."""

IDLE_S = 0.5
"""How long the thread waits for a request before it looks whether it should stop."""

Taken = tuple[float, Request, Ranking]
"""When an answer was made, seconds since 1970, and what of it; nothing of it may change afterwards."""

_logger = logging.getLogger(__name__)


class ServedLog:
    """Writes a sample of the answers.

    Args:
        sink: where records go.
        schema_fingerprint: of the feature schema.
        share: of the answers, drawn at random; above 0.
        waiting: most answers that wait; more are dropped.
        feature_items: items of an answer whose features are kept.
        clock: seconds since 1970.

    `written`, `dropped` and `failed` count answers: kept by the sink; lost because too many waited or the sink could
    not be written to; that could not be made into a record.
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
        self._queue: queue.Queue[Taken] = queue.Queue(waiting)
        self._refused_lock, self._refused = threading.Lock(), 0
        self.written, self.failed, self._lost = 0, 0, 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="served-log", daemon=True)

    @property
    def dropped(self) -> int:
        """Answers that were sampled and lost on the way."""
        return self._refused + self._lost

    def start(self) -> None:
        """Begin to write."""
        self._thread.start()

    def stop(self) -> None:
        """Write what waits, as far as the sink takes it, and end."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()
        self._sink.close()

    def answered(self, answered: Answered) -> None:
        """Have an answer that a model made written, some time or never; returns at once."""
        if answered.ranking is None or random.random() >= self._share:  # noqa: S311 - a sample, not a secret
            return
        try:
            self._queue.put_nowait((self._clock(), answered.request, answered.ranking))
        except queue.Full:
            with self._refused_lock:
                self._refused += 1

    def _run(self) -> None:
        while batch := self._next():
            if not self._sink.ready():
                self._lost += len(batch)
                continue
            records = [record for taken in batch if (record := self._record(*taken))]
            written = self._sink.write(records) if records else 0
            self.written += written
            self._lost += len(records) - written

    def _next(self) -> list[Taken]:
        """What waits, at least one; nothing once it is over."""
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

    def _record(self, served_s: float, request: Request, ranking: Ranking) -> KeyedRecord | None:
        try:
            record = record_of(request, ranking, served_s, self._fingerprint, self._feature_items)
            return KeyedRecord(record.user_id.encode(), record.SerializeToString())
        except Exception as error:
            # One odd answer must not end the thread; it is counted, and the first one is told of.
            self.failed += 1
            if self.failed == 1:
                log_event(_logger, "served_record_failed", level=logging.ERROR, exc_info=error)
            return None
