"""Tells of every call of a service that has ended: its method, its code, how long it took.

Stands before all other interceptors, so that what those refuse counts too. Calls that gRPC itself refuses, because
too many are in the server, do not come here. Knows no metrics.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import grpc

from services.server.grpc_handlers import wrapped

Observe = Callable[[str, grpc.StatusCode, float], None]
"""Hears of a call that has ended: name of its method, its code, seconds; a stream ends with its last answer."""


class CallWatch(grpc.ServerInterceptor):
    """Wraps the calls of one service; others (health, reflection) stay as they are.

    Args:
        service: full name of the service.
        observe: hears of each call, on the call's thread.
    """

    def __init__(self, service: str, observe: Observe) -> None:
        self._prefix, self._observe = f"/{service}/", observe

    def intercept_service(self, continuation: Any, handler_call_details: Any) -> Any:
        """Return the method's handler, wrapped."""
        handler, method = continuation(handler_call_details), handler_call_details.method
        if handler is None or not method.startswith(self._prefix):
            return handler
        return wrapped(handler, partial(self._watched, method[len(self._prefix) :]))

    @contextmanager
    def _watched(self, name: str, context: Any) -> Iterator[None]:
        begun_s, usual = time.perf_counter(), grpc.StatusCode.UNKNOWN
        try:
            yield
            usual = grpc.StatusCode.OK
        finally:
            gone = not context.is_active() and context.code() is None  # nobody hears the answer
            code = grpc.StatusCode.CANCELLED if gone else context.code() or usual
            self._observe(name, code, time.perf_counter() - begun_s)
