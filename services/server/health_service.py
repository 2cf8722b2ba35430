"""grpc.health.v1 of a server: on threads of its own, with bounded watches, so that no caller can silence it.

gRPC's own health servicer sends to watchers while it holds the lock that every check needs; a watcher that takes
nothing would end all checks. Here a status is sent by threads that hold no lock, and a send has a time limit.
"""

import logging
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import grpc
from google.protobuf.message import DecodeError
from grpc_health.v1 import health_pb2
from grpc_health.v1.health import SERVICE_NAME as HEALTH_SERVICE

from services.errors import Overloaded
from services.server.client_waits import ClientWaits
from services.server.logging import log_event
from services.server.security.caller import client_of, waiter_of

MOST_WATCHES, MOST_WATCHES_PER_CLIENT = 256, 64
"""Watches at once; a watch holds no thread, but counts among the calls of the server."""

SPARE_THREADS = 64
"""Threads beyond one per wait for a message: they send statuses, and ask for room for the waits of others."""

_logger = logging.getLogger(__name__)

_Status = health_pb2.HealthCheckResponse


@dataclass(eq=False)
class _Watch:
    """A call of Watch. Its lock keeps statuses in order: the newest is sent, older ones may be left out."""

    client: str
    waiter: str
    send: Callable[[Any], object]
    cancel: Callable[[], object]
    service: str | None = None  # None: not known, neither the name nor the service
    sent: int | None = None
    over: bool = False
    lock: threading.Lock = field(default_factory=threading.Lock)


class HealthService:
    """The status of the server (the name "") and of its services. Thread-safe.

    Args:
        messages: bounds waits for messages.
        sends: bounds waits until a watcher has taken a status.
        threads: most threads, started when they are needed; more than there may be waits for messages, or those that
            send none would stop all checks.
    """

    def __init__(self, messages: ClientWaits, sends: ClientWaits, threads: int) -> None:
        self._messages, self._sends = messages, sends
        self._lock = threading.Lock()
        self._statuses: dict[str, int] = {"": _Status.SERVING}
        self._watches: set[_Watch] = set()
        self._counts = Counter[str]()
        self._stopping = False
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="health")

    def __len__(self) -> int:
        """Watches now."""
        return len(self._watches)

    def status_of(self, service: str) -> int | None:
        """The status of a service; None: it is not known."""
        return self._statuses.get(service)

    def set(self, service: str, status: int) -> None:
        """Set the status of a service, and send it to its watchers; returns at once."""
        with self._lock:
            if self._stopping:
                return
            self._statuses[service] = status
            watches = [watch for watch in self._watches if watch.service == service]
        self._update_all(watches)

    def enter_graceful_shutdown(self) -> None:
        """Set every status to NOT_SERVING for ever, and end all watches: they would outlive the calls in progress."""
        with self._lock:
            self._stopping = True
            self._statuses = dict.fromkeys(self._statuses, _Status.NOT_SERVING)
            watches = list(self._watches)
        self._update_all(watches)

    def add_to(self, server: grpc.Server) -> None:
        """Register the service."""
        check: Any = partial(self._check)
        watch: Any = partial(self._watch)
        check.experimental_thread_pool = watch.experimental_thread_pool = self._pool  # gRPC looks for these names
        watch.experimental_non_blocking = True  # a watch holds no thread
        write = _Status.SerializeToString
        handlers: dict[str, Any] = {
            "Check": grpc.stream_unary_rpc_method_handler(check, None, write),
            "Watch": grpc.stream_stream_rpc_method_handler(watch, None, write),
        }
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(HEALTH_SERVICE, handlers),))

    def _check(self, requests: Iterator[bytes], context: Any) -> _Status:
        status = self.status_of(self._asked_for(requests, context))
        if status is None:
            context.abort(grpc.StatusCode.NOT_FOUND, "no such service")
        return _Status(status=status)

    def _watch(self, requests: Iterator[bytes], context: Any, send: Callable[[Any], object]) -> None:
        """Send the status of a service, and again whenever it changes; returns after the first."""
        watch = _Watch(client_of(context), waiter_of(context), send, context.cancel)
        with self._lock:
            full = len(self._watches) >= MOST_WATCHES or self._counts[watch.client] >= MOST_WATCHES_PER_CLIENT
            if not full:
                self._watches.add(watch)
                self._counts[watch.client] += 1
        if full:
            context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "there are too many watches")
        if not context.add_callback(partial(self._forget, watch)):
            self._forget(watch)
            return
        service = self._asked_for(requests, context)
        watch.service = service if service in self._statuses else None
        self._update(watch)

    def _forget(self, watch: _Watch) -> None:
        """The call is over."""
        watch.over = True
        with self._lock:
            self._watches.discard(watch)
            self._counts[watch.client] -= 1
            if not self._counts[watch.client]:
                del self._counts[watch.client]

    def _update_all(self, watches: list[_Watch]) -> None:
        for watch in watches:
            self._pool.submit(self._update, watch).add_done_callback(_log_failure)

    def _update(self, watch: _Watch) -> None:
        """Send the status if it is new to the watcher, and end the call if the server stops."""
        with watch.lock:
            if watch.over:
                return
            status = _Status.SERVICE_UNKNOWN if watch.service is None else self._statuses[watch.service]
            if status != watch.sent:
                watch.sent = status
                with self._sends.wait(watch.waiter, watch.cancel):
                    watch.send(_Status(status=status))
            if self._stopping and not watch.over:
                watch.over = True
                watch.send(None)

    def _asked_for(self, requests: Iterator[bytes], context: Any) -> str:
        """The service that a call's message names; aborts the call if there is none."""
        try:
            data = self._messages.next_message(requests, waiter_of(context), context.cancel)
            return str(health_pb2.HealthCheckRequest.FromString(data or b"").service)
        except Overloaded as error:
            context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, str(error))
        except DecodeError:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "the request cannot be read")
        raise AssertionError("abort raises")


def _log_failure(done: Future[None]) -> None:
    if error := done.exception():
        log_event(_logger, "health_not_sent", level=logging.ERROR, exc_info=error)
