"""Supervises several ranking workers on one port: starts them, replaces those that die, restarts and drains them.

Loads no model: `serve` is the work of a worker. The kernel distributes connections (SO_REUSEPORT). No socket listens
while no worker is ready, so that clients get UNAVAILABLE and retry.
"""

import logging
import multiprocessing
import os
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from typing import Any

from services.errors import ConfigurationError, CrossRecError
from services.ranking.process.metrics_aggregation import MetricsAggregator
from services.ranking.process.worker import DRAIN_S, END_S, READY, STOP, STUCK, SupervisorConnection, run_worker
from services.ranking.process.worker_pool import WorkerPool, WorkerState
from services.server.logging import log_event

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)

_logger = logging.getLogger(__name__)


class WorkerFailed(CrossRecError):
    """The first workers cannot serve, for a reason that a restart does not change."""


class Supervisor:
    """Keeps a worker pool at its size. Main thread only, because it handles signals.

    Args:
        pool: decides which workers to start and drain.
        serve: the work of a worker; has to be picklable, and gets the connection to the supervisor.
        aggregator: gets the workers' metrics.
    """

    def __init__(
        self, pool: WorkerPool, serve: Callable[[SupervisorConnection], None], aggregator: MetricsAggregator
    ) -> None:
        self._pool, self._serve, self._aggregator = pool, serve, aggregator
        self._context = multiprocessing.get_context("spawn")
        self._workers: dict[int, tuple[SpawnProcess, Connection]] = {}
        self._served = False

    def run(self) -> None:
        """Run until SIGTERM or SIGINT, after which all workers drain; SIGHUP restarts them one after another.

        A second SIGTERM or SIGINT has its default effect: the process ends, and then the workers do. Raises
        WorkerFailed if a worker reports that it cannot serve before any worker did.
        """
        try:
            with _signals() as signals:
                while not self._handle_signals(signals):
                    self._step(signals)
            log_event(_logger, "ranking_draining", workers=len(self._workers))
        finally:
            self._stop()

    def _handle_signals(self, signals: socket.socket) -> bool:
        """Apply the received signals; True if one of them stops the server."""
        for number in _read_signals(signals):
            if number != signal.SIGHUP:
                return True
            self._pool.replace_all()
            log_event(_logger, "ranking_restart_begun", workers=self._pool.replacing)
        return False

    def _step(self, signals: socket.socket) -> None:
        for _ in range(self._pool.workers_to_start()):
            self._start()
        if (old := self._pool.worker_to_drain()) is not None:
            self._drain(old)
        self._poll(signals, self._pool.next_start_s() or None)

    def _start(self) -> None:
        (ours, theirs), (metrics, responder) = self._context.Pipe(), self._context.Pipe()
        process = self._context.Process(target=run_worker, args=(theirs, responder, self._serve), daemon=True)
        process.start()
        theirs.close()
        responder.close()
        pid = process.pid or 0
        self._workers[pid] = process, ours
        self._aggregator.on_started(pid, metrics)
        self._pool.on_started(pid)
        log_event(_logger, "ranking_worker_started", worker=pid)

    def _drain(self, pid: int) -> None:
        self._pool.on_draining(pid)
        try:
            self._workers[pid][1].send(STOP)
        except OSError:
            log_event(_logger, "ranking_worker_already_exited", level=logging.DEBUG, worker=pid)

    def _poll(self, signals: socket.socket | None, timeout_s: float | None) -> None:
        """Wait for messages, signals or ended workers, and handle them."""
        pipes = {pipe: pid for pid, (_, pipe) in self._workers.items() if not pipe.closed}
        sentinels = {process.sentinel: pid for pid, (process, _) in self._workers.items()}
        ready: list[Any] = wait([*pipes, *sentinels, *([signals] if signals else [])], timeout_s)
        for source in ready:
            if source in pipes:
                self._receive(pipes[source], source)
        for source in ready:
            if source in sentinels:
                self._reap(sentinels[source])

    def _receive(self, pid: int, pipe: Connection) -> None:
        try:
            kind, text = pipe.recv()
        except (EOFError, OSError):
            pipe.close()  # the worker is ending
            return
        if kind == READY:
            self._served = True
            self._pool.on_ready(pid)
            log_event(_logger, "ranking_worker_ready", worker=pid)
            return
        if kind == STUCK:
            self._pool.on_stuck(pid, text)
            log_event(_logger, "ranking_worker_stuck", level=logging.ERROR, worker=pid, reason=text)
            return
        log_event(_logger, "ranking_worker_failed", level=logging.ERROR, worker=pid, error=text)
        if not (self._served or self._pool.stopping):
            raise WorkerFailed(text)

    def _reap(self, pid: int) -> None:
        process, pipe = self._workers.pop(pid)
        process.join()
        pipe.close()
        self._aggregator.on_exit(pid)
        reason = _exit_reason(process.exitcode)
        state = self._pool.on_exit(pid, reason)
        level = logging.INFO if state is WorkerState.DRAINING else logging.ERROR
        log_event(_logger, "ranking_worker_exited", level=level, worker=pid, was=state.value, reason=reason)
        if state is WorkerState.STARTING and self._pool.crash_loop:
            report = self._pool.ready()
            log_event(_logger, "ranking_crash_loop", level=logging.ERROR, serves=report.ok, reasons=report.reasons)

    def _stop(self) -> None:
        """Drain all workers, each within the bound, and wait for them to end."""
        self._pool.stop()
        for pid in list(self._workers):
            self._drain(pid)
        clock, until_s = self._pool.clock, self._pool.clock() + DRAIN_S + END_S
        while self._workers and (left_s := until_s - clock()) > 0:
            self._poll(None, left_s)
        for process, _ in list(self._workers.values()):
            process.kill()
        while self._workers:
            self._poll(None, None)


def _exit_reason(code: int | None) -> str:
    return f"killed by {signal.Signals(-code).name}" if code is not None and code < 0 else f"ended with status {code}"


@contextmanager
def reserved_port(listen: str) -> Iterator[str]:
    """Reserve a port for the workers without listening on it; yields the address, host:port.

    Port 0 is any free port. Raises ConfigurationError if the port is taken or `listen` is not an address.
    """
    host, _, port = listen.rpartition(":")
    try:
        family, kind, _, _, address = socket.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind) as exclusive:
            # A process that shares this port would share it with the workers, too: first it must be free.
            exclusive.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            exclusive.bind(address)
            bound = exclusive.getsockname()
        reserved = socket.socket(family, kind)
        reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        reserved.bind(bound)
    except OSError as error:
        raise ConfigurationError(f"listen: cannot bind {listen}: {error}") from error
    with reserved:
        yield f"{host}:{bound[1]}"


@contextmanager
def _signals() -> Iterator[socket.socket]:
    """A socket from which the numbers of received signals can be read; previous handlers are restored at the end."""
    receiver, sender = socket.socketpair()
    receiver.setblocking(False)
    sender.setblocking(False)
    previous = {number: signal.signal(number, lambda *_: None) for number in SIGNALS}
    previous_fd = signal.set_wakeup_fd(sender.fileno())
    try:
        yield receiver
    finally:
        signal.set_wakeup_fd(previous_fd)
        for number, handler in previous.items():
            signal.signal(number, handler)
        receiver.close()
        sender.close()


def _read_signals(signals: socket.socket) -> list[int]:
    try:
        return [number for number in signals.recv(100) if number in SIGNALS]
    except BlockingIOError:
        return []


def available_cores() -> int:
    """Number of cores that this process may use."""
    return len(os.sched_getaffinity(0))
