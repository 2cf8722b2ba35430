"""The shadow: a candidate scores what was answered already, on a thread of its own, and is compared.

A request leaves its tensors and goes; where the candidate cannot keep up, requests are dropped and counted. Knows
models and tensors; knows nothing of registries or answers.
"""

import logging
import queue
import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, astuple, dataclass, field
from typing import Any

import numpy as np

from services.features.encode import Tensors
from services.ranking.model.agreement import Agreement, Comparison, agreement
from services.registry.model import Model, Scores
from services.server.logging import log_event

LOG_INTERVAL_S = 60.0
IDLE_S = 0.5
"""How long the thread waits for a request before it looks whether it should stop or log."""

_logger = logging.getLogger(__name__)
_Pair = tuple[str, str]


@dataclass(frozen=True)
class _Offered:
    served: str
    candidate: Model
    tensors: Tensors
    target: np.ndarray
    scores: Scores

    @property
    def pair(self) -> _Pair:
        return self.served, self.candidate.version


@dataclass
class _Counted:
    """What was counted of a pair; sums and numbers of values of an agreement's fields."""

    counts: Counter[str] = field(default_factory=Counter)
    sums: np.ndarray = field(default_factory=lambda: np.zeros(4))
    numbers: np.ndarray = field(default_factory=lambda: np.zeros(4))


class Shadow:
    """Scores and compares.

    Args:
        share: of the requests, drawn at random.
        capacity: requests waiting; more are dropped.
        clock: monotonic seconds.
    """

    def __init__(self, share: float, capacity: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._share, self._clock = share, clock
        self._queue: queue.Queue[_Offered] = queue.Queue(capacity)
        self._lock, self._counted = threading.Lock(), dict[_Pair, _Counted]()
        self._candidate = ""
        self._thread = threading.Thread(target=self._run, name="shadow", daemon=True)
        self._stop = threading.Event()

    def start(self) -> None:
        """Begin to score."""
        self._thread.start()

    def stop(self) -> None:
        """End after what is being scored; what waits is let go."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def offer(self, served: str, candidate: Model, tensors: Tensors, target: np.ndarray, scores: Scores) -> None:
        """Have a candidate score a request, some time or never; returns at once."""
        if random.random() >= self._share:  # noqa: S311 - a sample, not a secret
            return
        offered = _Offered(served, candidate, tensors, target, scores)
        try:
            self._queue.put_nowait(offered)
        except queue.Full:
            with self._lock:
                self._of(offered.pair).counts["dropped"] += 1

    def comparisons(self) -> list[Comparison]:
        """What was found of the present candidate, one per version that answered."""
        with self._lock:
            return [_comparison(pair, counted) for pair, counted in sorted(self._counted.items())]

    def _of(self, pair: _Pair) -> _Counted:
        if pair[1] != self._candidate:  # what is known of earlier candidates was logged
            self._candidate = pair[1]
            self._counted.clear()
        return self._counted.setdefault(pair, _Counted())

    def _run(self) -> None:
        logged_at = self._clock()
        while not self._stop.is_set():
            with suppress(queue.Empty):
                self._compare(self._queue.get(timeout=IDLE_S))
            if self._clock() - logged_at >= LOG_INTERVAL_S:
                logged_at = self._clock()
                self._log()

    def _compare(self, offered: _Offered) -> None:
        try:
            found = agreement(offered.scores, offered.candidate.score(offered.tensors, offered.target))
        except Exception as error:
            # A candidate may break in any way; that must end neither the thread nor the comparison.
            self._failed(offered, error)
            return
        values = np.array(astuple(found))
        with self._lock:
            counted = self._of(offered.pair)
            counted.counts["requests"] += 1
            counted.sums += np.nan_to_num(values)
            counted.numbers += ~np.isnan(values)

    def _failed(self, offered: _Offered, error: Exception) -> None:
        with self._lock:
            counts = self._of(offered.pair).counts
            counts["failed"] += 1
            first = counts["failed"] == 1
        if first:
            served, candidate = offered.pair
            level = logging.WARNING
            log_event(_logger, "shadow_failed", level=level, exc_info=error, served=served, candidate=candidate)

    def _log(self) -> None:
        for found in self.comparisons():
            fields: dict[str, Any] = asdict(found)
            means = {name: round(value, 6) for name, value in fields.pop("mean").items()}
            log_event(_logger, "shadow_compared", **fields, **means)


def _comparison(pair: _Pair, counted: _Counted) -> Comparison:
    means = np.divide(counted.sums, counted.numbers, out=np.full(4, np.nan), where=counted.numbers > 0)
    requests, failed, dropped = (counted.counts[name] for name in ("requests", "failed", "dropped"))
    return Comparison(*pair, requests, failed, dropped, Agreement(*means.tolist()))
