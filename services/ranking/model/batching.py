"""Dynamic batching: concurrent requests are scored in one run of the model.

The first request of a batch waits for others, as long as every request of the batch has time left, runs the model for
all and distributes the scores. Knows threads and the model's two methods; knows nothing of graphs or gRPC.
"""

import logging
import math
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from services.features.encode import Tensors
from services.features.item_vectors import ItemVectors
from services.registry.model import Scores
from services.server.logging import log_event

_logger = logging.getLogger(__name__)

SLOWER = 2.0
"""A run may take this many times the mean run time; that much of a request's time is reserved for it."""

SMOOTHING = 0.1
"""Weight of the last run in the mean run time."""


class BatchModel(Protocol):
    """Scores one request, or a batch of requests with the same number of scenarios."""

    version: str
    vectors: Sequence[ItemVectors]

    def score(self, tensors: Tensors, target: np.ndarray) -> Scores:
        """Scores of one request."""
        ...

    def score_batch(self, requests: Sequence[tuple[Tensors, np.ndarray]]) -> list[Scores]:
        """Scores of each request; a request is its tensors and target posterior."""
        ...


@dataclass
class _PendingBatch:
    """Requests that are scored together, until when others may join, and their scores."""

    closes_at: float
    requests: list[tuple[Tensors, np.ndarray]] = field(default_factory=list)
    scores: list[Scores] | None = None
    full: bool = False
    done: threading.Event = field(default_factory=threading.Event)


class BatchingModel:
    """A model that scores concurrent requests in batches.

    Args:
        model: scores the batches.
        wait_s: longest time that a request waits for others, seconds.
        most: largest batch.
        clock: monotonic seconds.
    """

    def __init__(
        self, model: BatchModel, wait_s: float, most: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._model, self._wait_s, self._most, self._clock = model, wait_s, most, clock
        self.version, self.vectors = model.version, model.vectors
        self._changed = threading.Condition()
        self._open: dict[int, _PendingBatch] = {}
        self._run_s = 0.0

    @property
    def waiting(self) -> int:
        """Requests that wait for a batch now."""
        with self._changed:
            return sum(len(batch.requests) for batch in self._open.values())

    def score(self, tensors: Tensors, target: np.ndarray, time_left_s: float = math.inf) -> Scores:
        """Scores of one request; waits for others no longer than `time_left_s` allows.

        Raises what scoring this request alone raises: a request that makes its batch fail does not fail the others.
        """
        batch, place = self._join(tensors, target, time_left_s)
        if place == 0:
            self._lead(batch, len(target))
        else:
            batch.done.wait()
        return batch.scores[place] if batch.scores else self._model.score(tensors, target)

    def _join(self, tensors: Tensors, target: np.ndarray, time_left_s: float) -> tuple[_PendingBatch, int]:
        """The open batch for this number of scenarios, or a new one, and the request's index in it."""
        now, sources = self._clock(), len(target)
        with self._changed:
            batch = self._open.setdefault(sources, _PendingBatch(now + self._wait_s))
            batch.requests.append((tensors, target))
            batch.closes_at = min(batch.closes_at, now + time_left_s - SLOWER * self._run_s)
            if len(batch.requests) >= self._most:
                self._close(batch, sources)
            self._changed.notify_all()
            return batch, len(batch.requests) - 1

    def _lead(self, batch: _PendingBatch, sources: int) -> None:
        """Wait for other requests and run the batch; the others continue even if the run fails."""
        try:
            with self._changed:
                while not batch.full and (left_s := batch.closes_at - self._clock()) > 0:
                    self._changed.wait(left_s)
                self._close(batch, sources)
            if len(batch.requests) > 1:
                self._run(batch)
        finally:
            batch.done.set()

    def _run(self, batch: _PendingBatch) -> None:
        begin = self._clock()
        try:
            batch.scores = self._model.score_batch(batch.requests)
        except Exception as error:
            # Each request is scored alone now, and the one at fault raises its own error.
            log_event(_logger, "batch_failed", level=logging.WARNING, exc_info=error, requests=len(batch.requests))
        else:
            self._run_s += SMOOTHING * (self._clock() - begin - self._run_s)

    def _close(self, batch: _PendingBatch, sources: int) -> None:
        batch.full = True
        if self._open.get(sources) is batch:
            del self._open[sources]
