"""The one exit of errors from a gRPC server: raised errors become statuses with details.

Domain code raises from `services.runtime.errors`; `ErrorInterceptor` answers. Anything unexpected is INTERNAL
with a request id, under which the traceback is in the log.
"""

import logging
import uuid
from collections.abc import Callable
from typing import Any, NoReturn

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo  # type: ignore[import-untyped]
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]
from grpc_status import rpc_status

from services.runtime.errors import DeadlinePassed, InvalidRequest, Overloaded, RequestError, Unavailable
from services.runtime.logging import log_event

DOMAIN = "crossrec"
"""The domain of every `google.rpc.ErrorInfo`."""

_CODES: dict[type[RequestError], grpc.StatusCode] = {
    InvalidRequest: grpc.StatusCode.INVALID_ARGUMENT,
    Overloaded: grpc.StatusCode.RESOURCE_EXHAUSTED,
    DeadlinePassed: grpc.StatusCode.DEADLINE_EXCEEDED,
    Unavailable: grpc.StatusCode.UNAVAILABLE,
}

_logger = logging.getLogger(__name__)


def status_of(error: RequestError) -> Status:
    """The status that answers `error`: code, text, `ErrorInfo`, and `BadRequest` for an invalid request."""
    code = next((code for kind, code in _CODES.items() if isinstance(error, kind)), grpc.StatusCode.UNKNOWN)
    details: list[ErrorInfo | BadRequest] = [ErrorInfo(reason=error.reason, domain=DOMAIN)]
    if isinstance(error, InvalidRequest):
        violation = BadRequest.FieldViolation(field=error.field, description=error.description)
        details.insert(0, BadRequest(field_violations=[violation]))
    return _status(code, str(error), details)


class ErrorInterceptor(grpc.ServerInterceptor):
    """Wraps unary calls; streams (health watch, reflection) are gRPC's own and stay as they are.

    Args:
        make_id: makes the request id named in an INTERNAL answer and in its log line.
    """

    def __init__(self, make_id: Callable[[], str] = lambda: uuid.uuid4().hex) -> None:
        self._make_id = make_id

    def intercept_service(self, continuation: Any, handler_call_details: Any) -> Any:
        """Return the method's handler, wrapped."""
        handler = continuation(handler_call_details)
        if handler is None or handler.unary_unary is None:
            return handler
        return grpc.unary_unary_rpc_method_handler(
            self._wrapped(handler.unary_unary, handler_call_details.method),
            request_deserializer=handler.request_deserializer,
            response_serializer=handler.response_serializer,
        )

    def _wrapped(self, call: Callable[[Any, Any], Any], method: str) -> Callable[[Any, Any], Any]:
        def answer(request: Any, context: Any) -> Any:
            try:
                return call(request, context)
            except RequestError as error:
                if isinstance(error, Unavailable):  # the one that an operator can do something about
                    fields: dict[str, Any] = {"method": method, "error": str(error)}
                    log_event(_logger, "request_unavailable", level=logging.WARNING, **fields)
                context.abort_with_status(rpc_status.to_status(status_of(error)))
            except Exception as error:
                if context.code() is not None:  # the servicer aborted by itself: its status stands
                    raise
                self._abort_internal(error, method, context)

        return answer

    def _abort_internal(self, error: Exception, method: str, context: Any) -> NoReturn:
        request_id = self._make_id()
        fields: dict[str, Any] = {"method": method, "request_id": request_id}
        log_event(_logger, "request_failed", level=logging.ERROR, exc_info=error, **fields)
        info = ErrorInfo(reason="INTERNAL", domain=DOMAIN, metadata={"request_id": request_id})
        message = f"internal error, request id {request_id}"
        context.abort_with_status(rpc_status.to_status(_status(grpc.StatusCode.INTERNAL, message, [info])))
        raise AssertionError("abort_with_status raises")


def _status(code: grpc.StatusCode, message: str, details: list[Any]) -> Status:
    status = Status(code=code.value[0], message=message)
    for detail in details:
        packed = AnyMessage()
        packed.Pack(detail)
        status.details.append(packed)
    return status
