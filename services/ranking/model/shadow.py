"""Shadow scoring: a candidate model scores answered requests on a thread of its own, and is compared.

A request only enqueues its tensors; when the candidate is too slow, requests are dropped and counted. Knows models and
tensors; knows nothing of registries or answers.
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

from services.ranking.model.ab_split import TensorsFor
from services.ranking.model.agreement import Agreement, ShadowComparison, compare_scores
from services.registry.model import Scores, ScoringModel
from services.server.logging import log_event

LOG_INTERVAL_S = 60.0
IDLE_S = 0.5
"""How long the thread waits for a request before it checks whether to stop or log."""

_logger = logging.getLogger(__name__)
_Pair = tuple[str, str]


@dataclass(frozen=True)
class _ShadowRequest:
    """A scored request, to be scored again by the candidate."""

    served: str
    candidate: ScoringModel
    tensors_for: TensorsFor
    target: np.ndarray
    scores: Scores

    @property
    def pair(self) -> _Pair:
        return self.served, self.candidate.version


@dataclass
class _PairStats:
    """Counts of a pair of models; sums and numbers of values of the fields of Agreement."""

    counts: Counter[str] = field(default_factory=Counter)
    sums: np.ndarray = field(default_factory=lambda: np.zeros(4))
    numbers: np.ndarray = field(default_factory=lambda: np.zeros(4))


class ShadowScorer:
    """Scores a sample of the answered requests with a candidate model, and compares the scores.

    Args:
        share: of the requests, sampled at random.
        capacity: longest queue; more requests are dropped.
        clock: monotonic seconds.
    """

    def __init__(self, share: float, capacity: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._share, self._clock = share, clock
        self._queue: queue.Queue[_ShadowRequest] = queue.Queue(capacity)
        self._lock, self._stats = threading.Lock(), dict[_Pair, _PairStats]()
        self._candidate = ""
        self._thread = threading.Thread(target=self._run, name="shadow", daemon=True)
        self._stop = threading.Event()

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Stop after the current request; queued requests are dropped."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def offer(
        self, served: str, candidate: ScoringModel, tensors_for: TensorsFor, target: np.ndarray, scores: Scores
    ) -> None:
        """Enqueue a request for a candidate, or drop it; returns at once."""
        if random.random() >= self._share:  # noqa: S311 - a sample, not a secret
            return
        request = _ShadowRequest(served, candidate, tensors_for, target, scores)
        try:
            self._queue.put_nowait(request)
        except queue.Full:
            with self._lock:
                self._stats_of(request.pair).counts["dropped"] += 1

    def comparisons(self) -> list[ShadowComparison]:
        """The comparisons of the current candidate, one per version that answered."""
        with self._lock:
            return [_summarize_pair(pair, stats) for pair, stats in sorted(self._stats.items())]

    def _stats_of(self, pair: _Pair) -> _PairStats:
        if pair[1] != self._candidate:  # comparisons of earlier candidates are in the log
            self._candidate = pair[1]
            self._stats.clear()
        return self._stats.setdefault(pair, _PairStats())

    def _run(self) -> None:
        logged_at = self._clock()
        while not self._stop.is_set():
            with suppress(queue.Empty):
                self._compare(self._queue.get(timeout=IDLE_S))
            if self._clock() - logged_at >= LOG_INTERVAL_S:
                logged_at = self._clock()
                self._log()

    def _compare(self, request: _ShadowRequest) -> None:
        try:
            tensors = request.tensors_for(request.candidate.vectors)
            agreement = compare_scores(request.scores, request.candidate.score(tensors, request.target))
        except Exception as error:
            # A candidate may fail in any way; that must end neither the thread nor the comparison.
            self._count_failure(request, error)
            return
        values = np.array(astuple(agreement))
        with self._lock:
            stats = self._stats_of(request.pair)
            stats.counts["requests"] += 1
            stats.sums += np.nan_to_num(values)
            stats.numbers += ~np.isnan(values)

    def _count_failure(self, request: _ShadowRequest, error: Exception) -> None:
        with self._lock:
            counts = self._stats_of(request.pair).counts
            counts["failed"] += 1
            first = counts["failed"] == 1
        if first:
            served, candidate = request.pair
            level = logging.WARNING
            log_event(_logger, "shadow_failed", level=level, exc_info=error, served=served, candidate=candidate)

    def _log(self) -> None:
        for comparison in self.comparisons():
            fields: dict[str, Any] = asdict(comparison)
            means = {name: round(value, 6) for name, value in fields.pop("mean").items()}
            log_event(_logger, "shadow_compared", **fields, **means)


def _summarize_pair(pair: _Pair, stats: _PairStats) -> ShadowComparison:
    means = np.divide(stats.sums, stats.numbers, out=np.full(4, np.nan), where=stats.numbers > 0)
    requests, failed, dropped = (stats.counts[name] for name in ("requests", "failed", "dropped"))
    return ShadowComparison(*pair, requests, failed, dropped, Agreement(*means.tolist()))
