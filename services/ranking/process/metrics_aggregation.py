"""The workers' metrics at their supervisor: it asks each over a pipe of its own, and makes one of what they tell.

What a worker told last counts on when it has ended: counters never fall.
"""

import threading
from collections.abc import Iterable
from contextlib import suppress
from multiprocessing.connection import Connection

from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric

from services.ranking.process.metrics_merge import cumulative, merged

TIMEOUT_S = 1.0
"""Seconds that a worker has to answer; afterwards what it told before stands for it."""


class Telling:
    """The worker's end: answers until the pipe ends.

    Args:
        pipe: to the supervisor.
    """

    def __init__(self, pipe: Connection) -> None:
        self.registry = CollectorRegistry()
        self._pipe, self._lock = pipe, threading.Lock()
        threading.Thread(target=self._answer, name="telling", daemon=True).start()

    def tell(self) -> None:
        """Say how things stand; unasked at the end."""
        with suppress(OSError), self._lock:  # nobody may be there any more
            self._pipe.send(list(self.registry.collect()))

    def _answer(self) -> None:
        with suppress(EOFError, OSError):
            while True:
                self._pipe.recv()
                self.tell()


class _Worker:
    """The supervisor's end for one worker; used by one thread at a time."""

    def __init__(self, pipe: Connection) -> None:
        self.lock, self.told = threading.Lock(), list[Metric]()
        self._pipe = pipe

    def ask(self) -> None:
        """Hear how things stand, if the worker says so in time."""
        with suppress(EOFError, OSError):
            self._hear(0)  # what came too late for the last question
            self._pipe.send(None)
            self._hear(TIMEOUT_S)

    def end(self) -> None:
        """Hear its last words."""
        with suppress(EOFError, OSError):
            while self._hear(0):
                pass
        self._pipe.close()

    def _hear(self, timeout_s: float) -> bool:
        heard = self._pipe.poll(timeout_s)
        if heard:
            self.told = self._pipe.recv()
        return heard


class Gathered:
    """The metrics of all workers as one (the protocol of prometheus_client's collectors). Safe between threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._workers: dict[int, _Worker] = {}
        self._ended: list[Metric] = []

    def started(self, pid: int, pipe: Connection) -> None:
        """There is a worker."""
        with self._lock:
            self._workers[pid] = _Worker(pipe)

    def gone(self, pid: int) -> None:
        """A worker has ended."""
        worker = self._workers[pid]
        with worker.lock:
            worker.end()
        with self._lock:
            del self._workers[pid]
            self._ended = merged([self._ended, cumulative(worker.told)])

    def collect(self) -> Iterable[Metric]:
        """The metrics, as of now."""
        for worker in list(self._workers.values()):
            with worker.lock:
                worker.ask()
        with self._lock:
            return merged([self._ended, *(worker.told for worker in self._workers.values())])
