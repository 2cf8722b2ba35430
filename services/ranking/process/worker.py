"""A worker process as it sees its supervisor: a pipe, over which it says that it serves and hears when to stop.

The end of the pipe is the end of the supervisor, however it died: then the worker drains and ends, too.
"""

import os
import signal
import threading
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection

import grpc
from grpc_health.v1.health import HealthServicer

from services.errors import CrossRecError
from services.ranking.process.metrics_aggregation import Telling
from services.server.lifecycle import drain
from services.server.logging import log_crash

READY, STOP = "ready", "stop"

DRAIN_S = 10.0
"""Seconds that requests in progress get after the stop signal."""

END_S = 5.0
"""Seconds beyond those until a worker that does not end is ended."""


class Supervised:
    """The worker's end of the pipe.

    Args:
        pipe: to the supervisor.
        metrics: another one, over which it asks for metrics.
    """

    def __init__(self, pipe: Connection, metrics: Connection) -> None:
        self._pipe, self._telling = pipe, Telling(metrics)
        self.registry = self._telling.registry
        self.stop = threading.Event()
        self._serving = False
        threading.Thread(target=self._listen, name="supervisor", daemon=True).start()

    def serve(self, server: grpc.Server, health: HealthServicer) -> None:
        """Start the server, say so, and return when it was told to stop and is drained."""
        self._serving = True
        server.start()
        self._say((READY, ""))
        self.stop.wait()
        drain(server, health, DRAIN_S)
        self._telling.tell()

    def failed(self, error: CrossRecError) -> None:
        """Say why there will be nothing to serve."""
        self._say(("failed", str(error)))

    def _say(self, message: tuple[str, str]) -> None:
        try:
            self._pipe.send(message)
        except OSError:  # nobody is there any more
            self.stop.set()

    def _listen(self) -> None:
        with suppress(EOFError, OSError):
            self._pipe.recv()
        if not self._serving:
            os._exit(0)
        self.stop.set()
        threading.Event().wait(DRAIN_S + END_S)
        os._exit(1)


def run_worker(pipe: Connection, metrics: Connection, serve: Callable[[Supervised], None]) -> None:
    """The whole life of a worker process. SIGTERM drains it; what a terminal sends is for the supervisor."""
    supervised = Supervised(pipe, metrics)
    signal.signal(signal.SIGTERM, lambda *_: supervised.stop.set())
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    try:
        serve(supervised)
    except CrossRecError as error:
        supervised.failed(error)
        raise SystemExit(1) from None
    except Exception as error:  # multiprocessing would print what it says
        log_crash(error)
        raise SystemExit(1) from None
