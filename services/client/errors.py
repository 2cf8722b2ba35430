"""How calls fail: a small tree over gRPC's statuses.

    CallFailed              any other status
    +-- InvalidRequest      INVALID_ARGUMENT: the request must change; the text names the field
    +-- NotAllowed          UNAUTHENTICATED, PERMISSION_DENIED
    +-- DeadlinePassed      DEADLINE_EXCEEDED
    +-- Overloaded          RESOURCE_EXHAUSTED, after all tries; `retry_after_s` says when to come back
    +-- Unavailable         UNAVAILABLE, after all tries

The `google.rpc` details are read where the package googleapis-common-protos is installed (the extra `details`).
"""

from typing import Any

import grpc


class CallFailed(Exception):
    """A call that ended with an error status.

    Args:
        code: the status.
        text: what the server says, for people.
        reason: of `google.rpc.ErrorInfo`, like `OVERLOADED`; empty where it is not known.
        retry_after_s: after how many seconds the server wants to hear of this again; None if it did not say.
    """

    def __init__(self, code: grpc.StatusCode, text: str, reason: str = "", retry_after_s: float | None = None) -> None:
        super().__init__(f"{code.name}: {text}")
        self.code, self.text, self.reason, self.retry_after_s = code, text, reason, retry_after_s


class InvalidRequest(CallFailed):
    """The request breaks a rule of the contract."""


class NotAllowed(CallFailed):
    """The token or certificate is missing, not valid, or does not allow this."""


class DeadlinePassed(CallFailed):
    """There was no answer in time."""


class Overloaded(CallFailed):
    """The server has too much to do."""


class Unavailable(CallFailed):
    """The server, or something behind it, is away."""


_KINDS: dict[grpc.StatusCode, type[CallFailed]] = {
    grpc.StatusCode.INVALID_ARGUMENT: InvalidRequest,
    grpc.StatusCode.UNAUTHENTICATED: NotAllowed,
    grpc.StatusCode.PERMISSION_DENIED: NotAllowed,
    grpc.StatusCode.DEADLINE_EXCEEDED: DeadlinePassed,
    grpc.StatusCode.RESOURCE_EXHAUSTED: Overloaded,
    grpc.StatusCode.UNAVAILABLE: Unavailable,
}


def call_failed(error: grpc.RpcError) -> CallFailed:
    """The error of this tree for one of gRPC's, of a sync or an async call."""
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
