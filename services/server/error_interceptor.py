"""Maps errors to gRPC statuses with details; the only place where a gRPC server does so.

Domain code raises errors of `services.errors`; `ErrorInterceptor` answers with their status. Any other error is
INTERNAL with the request's id, under which the log has the traceback. A rejected caller gets its retry delay twice: in
`google.rpc.RetryInfo`, and in the trailing metadata that gRPC clients with a retry policy follow by themselves.
"""

import logging
import math
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo  # type: ignore[import-untyped]
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]
from grpc_status import rpc_status

from services.errors import (
    DeadlinePassed,
    InvalidRequest,
    Overloaded,
    PermissionDenied,
    RequestError,
    StorageRefused,
    Unauthenticated,
    Unavailable,
)
from services.server.grpc_handlers import wrap_handler
from services.server.logging import log_event
from services.server.telemetry.request import current_request

DOMAIN = "crossrec"
"""The domain of every `google.rpc.ErrorInfo`."""

RETRY_PUSHBACK = "grpc-retry-pushback-ms"
"""The trailing metadata in which a server sets the delay of a client's next attempt (gRFC A6)."""

_CODES: dict[type[RequestError], grpc.StatusCode] = {
    InvalidRequest: grpc.StatusCode.INVALID_ARGUMENT,
    Unauthenticated: grpc.StatusCode.UNAUTHENTICATED,
    PermissionDenied: grpc.StatusCode.PERMISSION_DENIED,
    Overloaded: grpc.StatusCode.RESOURCE_EXHAUSTED,
    DeadlinePassed: grpc.StatusCode.DEADLINE_EXCEEDED,
    StorageRefused: grpc.StatusCode.FAILED_PRECONDITION,
    Unavailable: grpc.StatusCode.UNAVAILABLE,
}

_logger = logging.getLogger(__name__)


def status_of(error: RequestError) -> Status:
    """The status of `error`: code, text, `ErrorInfo`, and the field at fault or the retry delay."""
    code = next((code for kind, code in _CODES.items() if isinstance(error, kind)), grpc.StatusCode.UNKNOWN)
    details: list[Any] = [ErrorInfo(reason=error.reason, domain=DOMAIN)]
    if isinstance(error, InvalidRequest):
        violation = BadRequest.FieldViolation(field=error.field, description=error.description)
        details.insert(0, BadRequest(field_violations=[violation]))
    if isinstance(error, Overloaded):
        delay = Duration()
        delay.FromMilliseconds(_delay_ms(error))
        details.insert(0, RetryInfo(retry_delay=delay))
    return _status(code, str(error), details)


class ErrorInterceptor(grpc.ServerInterceptor):
    """Wraps unary calls and two-way streams; health answers its errors itself.

    Args:
        make_id: makes the request id of an INTERNAL answer and of its log line, if the request has none.
    """

    def __init__(self, make_id: Callable[[], str] = lambda: uuid.uuid4().hex) -> None:
        self._make_id = make_id

    def intercept_service(self, continuation: Any, handler_call_details: Any) -> Any:
        """Return the method's handler, wrapped."""
        handler = continuation(handler_call_details)
        if handler is None:
            return None
        return wrap_handler(handler, partial(self._map_errors, handler_call_details.method))

    @contextmanager
    def _map_errors(self, method: str, context: Any) -> Iterator[None]:
        try:
            yield
        except RequestError as error:
            if isinstance(error, Unavailable | StorageRefused):  # those that concern an operator
                fields: dict[str, Any] = {"method": method, "error": str(error)}
                log_event(_logger, f"request_{error.reason.lower()}", level=logging.WARNING, **fields)
            _abort(context, status_of(error), _pushback(error))
        except Exception as error:
            # An abort by the servicer itself stands, and so does gRPC's error that the caller has left. All others are
            # handled here, even if the caller has left: gRPC would log their messages.
            if context.code() is not None or (isinstance(error, grpc.RpcError) and not context.is_active()):
                raise
            self._abort_internal(error, method, context)

    def _abort_internal(self, error: Exception, method: str, context: Any) -> None:
        request = current_request()
        request_id = request.id if request else self._make_id()
        fields: dict[str, Any] = {"method": method, "request_id": request_id}
        log_event(_logger, "request_failed", level=logging.ERROR, exc_info=error, **fields)
        info = ErrorInfo(reason="INTERNAL", domain=DOMAIN, metadata={"request_id": request_id})
        message = f"internal error, request id {request_id}"
        _abort(context, _status(grpc.StatusCode.INTERNAL, message, [info]))


def _delay_ms(error: Overloaded) -> int:
    return math.ceil(error.retry_after_s * 1000)


def _pushback(error: RequestError) -> tuple[tuple[str, str], ...]:
    return ((RETRY_PUSHBACK, str(_delay_ms(error))),) if isinstance(error, Overloaded) else ()


def _abort(context: Any, status: Status, metadata: tuple[tuple[str, str], ...] = ()) -> None:
    """End the call with a status; raises."""
    answer = rpc_status.to_status(status)
    context.set_trailing_metadata((*(context.trailing_metadata() or ()), *answer.trailing_metadata, *metadata))
    context.abort(answer.code, answer.details)


def _status(code: grpc.StatusCode, message: str, details: list[Any]) -> Status:
    status = Status(code=code.value[0], message=message)
    for detail in details:
        detail_any = AnyMessage()
        detail_any.Pack(detail)
        status.details.append(detail_any)
    return status
