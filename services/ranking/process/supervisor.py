"""Several ranking workers on one port: starts them, replaces those that die, exchanges them, drains them.

Loads no model: what a worker does is its `serve`. Connections are shared out by the kernel
(SO_REUSEPORT). Nobody listens while no worker is ready, so that clients get UNAVAILABLE and try again.
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
from services.ranking.process.metrics_aggregation import Gathered
from services.ranking.process.worker import DRAIN_S, END_S, READY, STOP, Supervised, run_worker
from services.ranking.process.worker_pool import Fleet, State
from services.server.logging import log_event

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)

_logger = logging.getLogger(__name__)


class WorkerFailed(CrossRecError):
    """The first workers cannot serve, for a reason that starting them again does not change."""


class Supervisor:
    """Keeps a fleet at its size. Main thread only: signals are for it.

    Args:
        fleet: decides.
        serve: what a worker does; has to be picklable, and is given its end of the pipe.
        gathered: gets the workers' metrics.
    """

    def __init__(self, fleet: Fleet, serve: Callable[[Supervised], None], gathered: Gathered) -> None:
        self._fleet, self._serve, self._gathered = fleet, serve, gathered
        self._context = multiprocessing.get_context("spawn")
        self._workers: dict[int, tuple[SpawnProcess, Connection]] = {}
        self._served = False

    def run(self) -> None:
        """Until SIGTERM or SIGINT, after which all workers drain; SIGHUP exchanges them one after another.

        A second SIGTERM or SIGINT has its default effect: the process ends, and then the workers do. Raises
        WorkerFailed if a worker says that it cannot serve before any did.
        """
        try:
            with _signals() as signals:
                while not self._stopped(signals):
                    self._step(signals)
            log_event(_logger, "ranking_draining", workers=len(self._workers))
        finally:
            self._stop()

    def _stopped(self, signals: socket.socket) -> bool:
        for number in _received(signals):
            if number != signal.SIGHUP:
                return True
            self._fleet.replace_all()
            log_event(_logger, "ranking_restart_begun", workers=self._fleet.replacing)
        return False

    def _step(self, signals: socket.socket) -> None:
        for _ in range(self._fleet.due()):
            self._start()
        if (old := self._fleet.to_drain()) is not None:
            self._drain(old)
        self._look(signals, self._fleet.next_start_s() or None)

    def _start(self) -> None:
        (ours, theirs), (metrics, told) = self._context.Pipe(), self._context.Pipe()
        process = self._context.Process(target=run_worker, args=(theirs, told, self._serve), daemon=True)
        process.start()
        theirs.close()
        told.close()
        pid = process.pid or 0
        self._workers[pid] = process, ours
        self._gathered.started(pid, metrics)
        self._fleet.started(pid)
        log_event(_logger, "ranking_worker_started", worker=pid)

    def _drain(self, pid: int) -> None:
        self._fleet.draining(pid)
        try:
            self._workers[pid][1].send(STOP)
        except OSError:
            log_event(_logger, "ranking_worker_is_gone_already", level=logging.DEBUG, worker=pid)

    def _look(self, signals: socket.socket | None, timeout_s: float | None) -> None:
        """Wait until something happens, and note what workers say and which have ended."""
        pipes = {pipe: pid for pid, (_, pipe) in self._workers.items() if not pipe.closed}
        ends = {process.sentinel: pid for pid, (process, _) in self._workers.items()}
        happened: list[Any] = wait([*pipes, *ends, *([signals] if signals else [])], timeout_s)
        for one in happened:
            if one in pipes:
                self._hear(pipes[one], one)
        for one in happened:
            if one in ends:
                self._bury(ends[one])

    def _hear(self, pid: int, pipe: Connection) -> None:
        try:
            kind, text = pipe.recv()
        except (EOFError, OSError):
            pipe.close()  # it is ending
            return
        if kind == READY:
            self._served = True
            self._fleet.became_ready(pid)
            log_event(_logger, "ranking_worker_ready", worker=pid)
            return
        log_event(_logger, "ranking_worker_failed", level=logging.ERROR, worker=pid, error=text)
        if not (self._served or self._fleet.stopping):
            raise WorkerFailed(text)

    def _bury(self, pid: int) -> None:
        process, pipe = self._workers.pop(pid)
        process.join()
        pipe.close()
        self._gathered.gone(pid)
        reason = _reason(process.exitcode)
        state = self._fleet.gone(pid, reason)
        level = logging.INFO if state is State.DRAINING else logging.ERROR
        log_event(_logger, "ranking_worker_gone", level=level, worker=pid, was=state.value, reason=reason)
        if state is State.STARTING and self._fleet.crash_loop:
            report = self._fleet.ready()
            log_event(_logger, "ranking_crash_loop", level=logging.ERROR, serves=report.ok, reasons=report.reasons)

    def _stop(self) -> None:
        """Have all workers drain, each within the bound, and wait for them."""
        self._fleet.stop()
        for pid in list(self._workers):
            self._drain(pid)
        clock, until_s = self._fleet.clock, self._fleet.clock() + DRAIN_S + END_S
        while self._workers and (left_s := until_s - clock()) > 0:
            self._look(None, left_s)
        for process, _ in list(self._workers.values()):
            process.kill()
        while self._workers:
            self._look(None, None)


def _reason(code: int | None) -> str:
    return f"killed by {signal.Signals(-code).name}" if code is not None and code < 0 else f"ended with status {code}"


@contextmanager
def held_port(listen: str) -> Iterator[str]:
    """Keep a port for this process' workers without listening on it; yields the address, host:port.

    Port 0 is any free one. Raises ConfigurationError if the port is taken or `listen` is no address.
    """
    host, _, port = listen.rpartition(":")
    try:
        family, kind, _, _, address = socket.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind) as alone:
            # Others that share their port would share it with us, too: at first it must be free of anybody.
            alone.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            alone.bind(address)
            bound = alone.getsockname()
        held = socket.socket(family, kind)
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        held.bind(bound)
    except OSError as error:
        raise ConfigurationError(f"listen: cannot bind {listen}: {error}") from error
    with held:
        yield f"{host}:{bound[1]}"


@contextmanager
def _signals() -> Iterator[socket.socket]:
    """A socket from which the numbers of received signals can be read; previous handlers come back at the end."""
    here, there = socket.socketpair()
    here.setblocking(False)
    there.setblocking(False)
    previous = {number: signal.signal(number, lambda *_: None) for number in SIGNALS}
    previous_fd = signal.set_wakeup_fd(there.fileno())
    try:
        yield here
    finally:
        signal.set_wakeup_fd(previous_fd)
        for number, handler in previous.items():
            signal.signal(number, handler)
        here.close()
        there.close()


def _received(signals: socket.socket) -> list[int]:
    try:
        return [number for number in signals.recv(100) if number in SIGNALS]
    except BlockingIOError:
        return []


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0))
