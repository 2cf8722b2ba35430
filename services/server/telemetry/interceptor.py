"""The outermost interceptor of a gRPC server: gives every call a request id and, with tracing, a span.

The id goes back in the trailing metadata, errors included. Health and reflection have neither.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Any

import grpc

from services.server.grpc_handlers import wrap_handler
from services.server.telemetry.request import TracedRequest, enter_request, leave_request

if TYPE_CHECKING:
    from services.server.telemetry.opentelemetry import Tracing

REQUEST_ID, TRACE_ID = "x-request-id", "x-trace-id"
"""Trailing metadata that hold the request's id and, if it is recorded, its trace's."""

TRACEPARENT = "traceparent"

_OWN = "/grpc."

_SERVER_FAULTS = {
    grpc.StatusCode.UNKNOWN,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.UNIMPLEMENTED,
    grpc.StatusCode.INTERNAL,
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.DATA_LOSS,
}
"""Statuses that mark a server's span as failed (OpenTelemetry's semantic conventions for gRPC)."""


class RequestInterceptor(grpc.ServerInterceptor):
    """Wraps unary calls and two-way streams.

    Args:
        tracing: makes spans; None: no tracing.
    """

    def __init__(self, tracing: "Tracing | None" = None) -> None:
        self._tracing = tracing

    def intercept_service(self, continuation: Any, handler_call_details: Any) -> Any:
        """Return the method's handler, wrapped."""
        handler = continuation(handler_call_details)
        method: str = handler_call_details.method
        if handler is None or method.startswith(_OWN):
            return handler
        return wrap_handler(handler, partial(self._serve, method))

    @contextmanager
    def _serve(self, method: str, context: Any) -> Iterator[None]:
        """Make this call's request the current one inside the block."""
        request = TracedRequest()
        if self._tracing is not None:
            self._trace(self._tracing, request, method, context)
        context.set_trailing_metadata(_metadata(request))
        token = enter_request(request)
        failure = None
        try:
            yield
        except BaseException as error:
            failure = error
            raise
        finally:
            with suppress(ValueError):  # any thread may finalise a stream whose client has left
                leave_request(token)
            if request.span is not None:
                self._end(request, context, failure)

    @staticmethod
    def _trace(tracing: "Tracing", request: TracedRequest, method: str, context: Any) -> None:
        given = next((value for name, value in context.invocation_metadata() if name == TRACEPARENT), "")
        span = tracing.start_server_span(method[1:], given)
        request.trace_id = f"{span.get_span_context().trace_id:032x}"
        if span.is_recording():
            request.span = span

    def _end(self, request: TracedRequest, context: Any, failure: BaseException | None) -> None:
        """End the span with the call; the spans of its stages are made after the answer was sent."""
        ended_ns, code = time.time_ns(), _code(context, failure)
        finish = partial(self._finish, request, code, ended_ns)
        if not context.add_callback(finish):
            finish()

    def _finish(self, request: TracedRequest, code: grpc.StatusCode, ended_ns: int) -> None:
        from services.server.telemetry.opentelemetry import fail

        span, timeline = request.span, request.timeline
        if timeline is not None and self._tracing is not None:
            span.set_attributes(timeline.notes)
            self._tracing.add_timeline(span, timeline.steps)
        span.set_attribute("rpc.response.status_code", code.name)
        if code in _SERVER_FAULTS:
            fail(span, code.name)
        span.end(ended_ns)


def _metadata(request: TracedRequest) -> tuple[tuple[str, str], ...]:
    named = (REQUEST_ID, request.id)
    return (named,) if request.span is None else (named, (TRACE_ID, request.trace_id))


def _code(context: Any, failure: BaseException | None) -> grpc.StatusCode:
    """The status of the call."""
    code: grpc.StatusCode | None = context.code()
    if code is not None:
        return code
    if not context.is_active():
        return grpc.StatusCode.CANCELLED
    return grpc.StatusCode.OK if failure is None else grpc.StatusCode.UNKNOWN
