"""Scores requests that come at about the same time in one run of the model.

The first of a batch waits for others, as long as nobody in the batch runs out of time, runs the model for all and
hands out what it found. Knows threads and the model's two verbs; knows nothing of graphs or gRPC.
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
from services.registry.model import Scores
from services.server.logging import log_event

_logger = logging.getLogger(__name__)

SLOWER = 2.0
"""A run may take this many times the mean of past ones; that much of a request's time is left to it."""

REMEMBERED = 0.1
"""Weight of the last run in the mean."""


class ManyModel(Protocol):
    """Scores one request or several of as many scenarios."""

    version: str

    def score(self, tensors: Tensors, target: np.ndarray) -> Scores:
        """Scores of one request."""
        ...

    def score_many(self, requests: Sequence[tuple[Tensors, np.ndarray]]) -> list[Scores]:
        """Scores of each request, with its target posterior."""
        ...


@dataclass
class _Batch:
    """What is scored together: requests, until when others may join, and what came of it."""

    closes_at: float
    requests: list[tuple[Tensors, np.ndarray]] = field(default_factory=list)
    scores: list[Scores] | None = None
    full: bool = False
    done: threading.Event = field(default_factory=threading.Event)


class BatchedModel:
    """A model whose concurrent requests are scored together.

    Args:
        model: scores them.
        wait_s: longest that a request waits for others, seconds.
        most: requests scored together at most.
        clock: seconds, never set back.
    """

    def __init__(self, model: ManyModel, wait_s: float, most: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._model, self._wait_s, self._most, self._clock = model, wait_s, most, clock
        self.version = model.version
        self._changed = threading.Condition()
        self._open: dict[int, _Batch] = {}
        self._run_s = 0.0

    @property
    def waiting(self) -> int:
        """Requests that wait for others now."""
        with self._changed:
            return sum(len(batch.requests) for batch in self._open.values())

    def score(self, tensors: Tensors, target: np.ndarray, time_left_s: float = math.inf) -> Scores:
        """Scores of one request; it waits for others no longer than `time_left_s` allows.

        Raises what scoring this request alone raises: a request at which a batch fails does not fail the others.
        """
        batch, place = self._join(tensors, target, time_left_s)
        if place == 0:
            self._lead(batch, len(target))
        else:
            batch.done.wait()
        return batch.scores[place] if batch.scores else self._model.score(tensors, target)

    def _join(self, tensors: Tensors, target: np.ndarray, time_left_s: float) -> tuple[_Batch, int]:
        """The batch of requests of as many scenarios that is open, or a new one, and the request's place in it."""
        now, sources = self._clock(), len(target)
        with self._changed:
            batch = self._open.setdefault(sources, _Batch(now + self._wait_s))
            batch.requests.append((tensors, target))
            batch.closes_at = min(batch.closes_at, now + time_left_s - SLOWER * self._run_s)
            if len(batch.requests) >= self._most:
                self._close(batch, sources)
            self._changed.notify_all()
            return batch, len(batch.requests) - 1

    def _lead(self, batch: _Batch, sources: int) -> None:
        """Wait for the others and run; they go on whatever happens."""
        try:
            with self._changed:
                while not batch.full and (left_s := batch.closes_at - self._clock()) > 0:
                    self._changed.wait(left_s)
                self._close(batch, sources)
            if len(batch.requests) > 1:
                self._run(batch)
        finally:
            batch.done.set()

    def _run(self, batch: _Batch) -> None:
        begin = self._clock()
        try:
            batch.scores = self._model.score_many(batch.requests)
        except Exception as error:
            # Each request is scored alone now, and raises its own if it is the one at fault.
            log_event(_logger, "batch_failed", level=logging.WARNING, exc_info=error, requests=len(batch.requests))
        else:
            self._run_s += REMEMBERED * (self._clock() - begin - self._run_s)

    def _close(self, batch: _Batch, sources: int) -> None:
        batch.full = True
        if self._open.get(sources) is batch:
            del self._open[sources]
