"""Graceful shutdown of a gRPC server process: serve until SIGTERM or SIGINT, then drain calls in progress."""

import ctypes
import gc
import logging
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import grpc

from services.server.health_service import HealthService
from services.server.logging import log_event

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)

SIGNAL_CHECK_S = 0.5
"""Seconds after which a main thread that waits for a signal looks whether there was one."""

_logger = logging.getLogger(__name__)


def serve_until_signal(
    server: grpc.Server,
    health: HealthService,
    drain_s: float,
    on_stop: Callable[[], None],
    on_drain: Callable[[], None] = lambda: None,
    on_start: Callable[[], None] = lambda: None,
) -> None:
    """Start `server`; return when SIGTERM or SIGINT came and it is drained. Main thread only.

    On the signal, `drain` runs, then `on_stop` (flush, close). A second signal during the drain has its default
    effect: the process ends.
    """
    with stop_event() as stop:
        server.start()
        on_start()
        wait_for_stop(stop)
    drain(server, health, drain_s, on_drain)
    on_stop()


def wait_for_stop(stop: threading.Event) -> None:
    """Return once a signal's handler has set `stop`. Main thread only.

    Python runs handlers in the main thread, and a wait without a time-out is only interrupted by a signal that arrives
    during it: one that came just before, or to another thread, would stay unhandled until the next signal.
    """
    while not stop.wait(SIGNAL_CHECK_S):
        pass


def drain(
    server: grpc.Server, health: HealthService, drain_s: float, on_drain: Callable[[], None] = lambda: None
) -> None:
    """Stop a server gracefully.

    Health turns NOT_SERVING, new calls are rejected, `on_drain` runs (it ends calls that would stay open), and calls in
    progress get `drain_s` seconds to end.
    """
    health.enter_graceful_shutdown()
    drained = server.stop(drain_s)
    on_drain()
    drained.wait()


def freeze_heap() -> None:
    """Exclude all objects that exist now from garbage collection (gc.freeze), which shortens the slowest answers.

    Memory that only loading needed is returned to the system where the C library (glibc) can do that. For the main of
    a process only: frozen objects are not freed at its end either, and some libraries complain about that.
    """
    gc.collect()
    gc.freeze()
    if trim := getattr(ctypes.CDLL(None), "malloc_trim", None):
        trim(0)


@contextmanager
def ending_within(stop: threading.Event, grace_s: float) -> Iterator[None]:
    """End the process, with status 0, if the block has not ended `grace_s` seconds after `stop` was set.

    For work that may be interrupted at any moment: whatever holds its thread, a stop signal ends the process in time.
    """
    ended = threading.Event()

    def watch() -> None:
        stop.wait()
        if not ended.wait(grace_s):
            log_event(_logger, "stop_forced", level=logging.WARNING, grace_s=grace_s)
            os._exit(0)

    threading.Thread(target=watch, daemon=True, name="ending-within").start()
    try:
        yield
    finally:
        ended.set()
        # The watcher of a block that ended by itself must not wait for a signal that never comes.
        stop.set()


@contextmanager
def stop_event() -> Iterator[threading.Event]:
    """An event that the stop signals set; their previous handlers are restored at the end."""
    event = threading.Event()
    previous = {number: signal.signal(number, lambda *_: event.set()) for number in STOP_SIGNALS}
    try:
        yield event
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
