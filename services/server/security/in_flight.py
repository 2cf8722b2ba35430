"""An interceptor that limits the calls in flight of each client."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import grpc

from services.errors import Overloaded
from services.server.grpc_handlers import wrap_handler
from services.server.security.access import needed_scopes
from services.server.security.caller import waiter_of

RETRY_AFTER_S = 0.5
"""Retry delay of a client with too many calls in flight, seconds."""


class InFlightInterceptor(grpc.ServerInterceptor):
    """Counts the calls in flight per client, except those of services that need no token.

    Without token and certificate each connection is a client: others may have the same address.

    Args:
        most: calls of a client at once; more raise Overloaded.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._lock, self._counts = threading.Lock(), dict[str, int]()

    def intercept_service(self, continuation: Any, handler_call_details: Any) -> Any:
        """The method's handler, counted."""
        handler = continuation(handler_call_details)
        if handler is None or needed_scopes(handler_call_details.method) is None:
            return handler
        return wrap_handler(handler, lambda context: self._count(waiter_of(context)))

    @contextmanager
    def _count(self, client: str) -> Iterator[None]:
        with self._lock:
            count = self._counts.get(client, 0)
            if count < self._most:
                self._counts[client] = count + 1
        if count >= self._most:
            raise Overloaded(f"{self._most} calls of this client are in progress already", RETRY_AFTER_S)
        try:
            yield
        finally:
            with self._lock:
                self._counts[client] -= 1
                if not self._counts[client]:
                    del self._counts[client]
