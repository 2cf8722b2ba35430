"""A worker process and its connection to the supervisor: a pipe for the messages ready, stuck, failed and stop.

A closed pipe means that the supervisor has ended, for whatever reason: then the worker drains and ends, too.
"""

import os
import signal
import threading
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection

from services.errors import CrossRecError
from services.ranking.process.metrics_aggregation import MetricsResponder
from services.server.grpc_server import BoundServer
from services.server.lifecycle import drain, wait_for_stop
from services.server.logging import log_crash
from services.server.self_probe import SelfProbe

READY, STUCK, STOP = "ready", "stuck", "stop"

DRAIN_S = 10.0
"""Seconds that requests in progress have after the stop signal."""

END_S = 5.0
"""Further seconds after which a worker that still runs is killed."""


class SupervisorConnection:
    """The worker's connection to its supervisor.

    Args:
        pipe: to the supervisor.
        metrics: to the supervisor, for requests for metrics.
    """

    def __init__(self, pipe: Connection, metrics: Connection) -> None:
        self._pipe, self._metrics = pipe, MetricsResponder(metrics)
        self.registry = self._metrics.registry
        self.stop = threading.Event()
        self._serving = False
        threading.Thread(target=self._listen, name="supervisor", daemon=True).start()

    def serve(self, built: BoundServer, stalled: Callable[[], str]) -> None:
        """Start the server, report it as ready, and as stuck while it does not answer; return once it is drained.

        `stalled` says why requests are not served, empty while they are.
        """
        self._serving = True
        built.server.start()
        self._send((READY, ""))
        probe = SelfProbe(
            built.probe_address, stalled, lambda reason: self._send((STUCK, reason) if reason else (READY, ""))
        )
        probe.start()
        wait_for_stop(self.stop)
        probe.stop()
        drain(built.server, built.health, DRAIN_S)
        self._metrics.report()

    def report_failure(self, error: CrossRecError) -> None:
        """Report why the worker cannot serve."""
        self._send(("failed", str(error)))

    def _send(self, message: tuple[str, str]) -> None:
        try:
            self._pipe.send(message)
        except OSError:  # the supervisor has ended
            self.stop.set()

    def _listen(self) -> None:
        with suppress(EOFError, OSError):
            self._pipe.recv()
        if not self._serving:
            os._exit(0)
        self.stop.set()
        threading.Event().wait(DRAIN_S + END_S)
        os._exit(1)


def run_worker(pipe: Connection, metrics: Connection, serve: Callable[[SupervisorConnection], None]) -> None:
    """The main function of a worker process. SIGTERM drains it; SIGINT and SIGHUP are for the supervisor alone."""
    connection = SupervisorConnection(pipe, metrics)
    signal.signal(signal.SIGTERM, lambda *_: connection.stop.set())
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    try:
        serve(connection)
    except CrossRecError as error:
        connection.report_failure(error)
        raise SystemExit(1) from None
    except Exception as error:  # multiprocessing would print its message
        log_crash(error)
        raise SystemExit(1) from None
