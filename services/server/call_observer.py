"""Reports every call of a service when it ends: method, status code, duration.

Comes before all other interceptors, so that calls rejected by those are reported, too, and those whose message never
came (CANCELLED). Calls that gRPC itself rejects, because too many are in the server, are not. Knows no metrics.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import grpc

from services.server.grpc_handlers import wrap_handler

Observe = Callable[[str, grpc.StatusCode, float], None]
"""Called when a call has ended: name of its method, its code, seconds; a stream ends with its last answer."""


class CallObserver(grpc.ServerInterceptor):
    """Observes the calls of one service; others (health, reflection) are not observed.

    Args:
        service: full name of the service.
        observe: is called for each call, on the call's thread.
    """

    def __init__(self, service: str, observe: Observe) -> None:
        self._prefix, self._observe = f"/{service}/", observe

    def intercept_service(self, continuation: Any, handler_call_details: Any) -> Any:
        """Return the method's handler, wrapped."""
        handler, method = continuation(handler_call_details), handler_call_details.method
        if handler is None or not method.startswith(self._prefix):
            return handler
        return wrap_handler(handler, partial(self._observed, method[len(self._prefix) :]))

    @contextmanager
    def _observed(self, name: str, context: Any) -> Iterator[None]:
        begun_s, usual = time.perf_counter(), grpc.StatusCode.UNKNOWN
        try:
            yield
            usual = grpc.StatusCode.OK
        finally:
            gone = not context.is_active() and context.code() is None  # the client has left
            code = grpc.StatusCode.CANCELLED if gone else context.code() or usual
            self._observe(name, code, time.perf_counter() - begun_s)
