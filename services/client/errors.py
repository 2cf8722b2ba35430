"""Errors of calls: one class per gRPC status that a caller handles differently.

    CallFailed                any other status
    +-- InvalidArgument       INVALID_ARGUMENT: the request must change; the text names the field
    +-- AccessDenied          UNAUTHENTICATED, PERMISSION_DENIED
    +-- DeadlineExceeded      DEADLINE_EXCEEDED
    +-- ResourceExhausted     RESOURCE_EXHAUSTED, after all tries; `retry_after_s` is the retry delay
    +-- ServiceUnavailable    UNAVAILABLE, after all tries

The `google.rpc` details are read where the package googleapis-common-protos is installed (the extra `details`).
"""

from typing import Any

import grpc


class CallFailed(Exception):
    """A call that ended with an error status.

    Args:
        code: the status.
        text: the server's message, for people.
        reason: of `google.rpc.ErrorInfo`, like `OVERLOADED`; empty if unknown.
        retry_after_s: the server's retry delay, seconds; None if it set none.
    """

    def __init__(self, code: grpc.StatusCode, text: str, reason: str = "", retry_after_s: float | None = None) -> None:
        super().__init__(f"{code.name}: {text}")
        self.code, self.text, self.reason, self.retry_after_s = code, text, reason, retry_after_s


class InvalidArgument(CallFailed):
    """The request violates the contract."""


class AccessDenied(CallFailed):
    """The token or certificate is missing, invalid, or does not permit the call."""


class DeadlineExceeded(CallFailed):
    """The deadline passed without an answer."""


class ResourceExhausted(CallFailed):
    """The server is overloaded."""


class ServiceUnavailable(CallFailed):
    """The server, or a service that it depends on, is unavailable."""


_KINDS: dict[grpc.StatusCode, type[CallFailed]] = {
    grpc.StatusCode.INVALID_ARGUMENT: InvalidArgument,
    grpc.StatusCode.UNAUTHENTICATED: AccessDenied,
    grpc.StatusCode.PERMISSION_DENIED: AccessDenied,
    grpc.StatusCode.DEADLINE_EXCEEDED: DeadlineExceeded,
    grpc.StatusCode.RESOURCE_EXHAUSTED: ResourceExhausted,
    grpc.StatusCode.UNAVAILABLE: ServiceUnavailable,
}


def error_from_rpc(error: grpc.RpcError) -> CallFailed:
    """The CallFailed for an error of gRPC, of a sync or an async call."""
    ended: Any = error  # every error of a call is its status, too
    metadata = dict(ended.trailing_metadata() or ())
    kind = _KINDS.get(ended.code(), CallFailed)
    return kind(ended.code(), ended.details() or "", _reason(metadata), _retry_after_s(metadata))


def _retry_after_s(metadata: dict[str, Any]) -> float | None:
    milliseconds = str(metadata.get("grpc-retry-pushback-ms", ""))
    return int(milliseconds) / 1000 if milliseconds.isdecimal() else None


def _reason(metadata: dict[str, Any]) -> str:
    try:
        from google.rpc import error_details_pb2, status_pb2  # type: ignore[import-untyped]
    except ImportError:
        return ""
    status = status_pb2.Status.FromString(metadata.get("grpc-status-details-bin", b""))
    for detail in status.details:
        info = error_details_pb2.ErrorInfo()
        if detail.Unpack(info):
            return str(info.reason)
    return ""
