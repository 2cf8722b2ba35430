"""Access control: which scope a call needs, and the interceptor that rejects calls whose token lacks it.

The interceptor decides before a request is read. A rejected call raises, so that `ErrorInterceptor`, which must come
before it, answers.
"""

import logging
from collections.abc import Iterator, Sequence
from typing import Any

import grpc

from services.errors import PermissionDenied, RequestError, Unauthenticated
from services.server.counted_log import CountedLog
from services.server.security.caller import CURRENT_GRANT, Caller, Grant, Scope
from services.server.security.verifier import TokenVerifier

SCOPES = {
    "crossrec.events.v1.EventService": frozenset({Scope.PUBLISH, Scope.CATALOGUE, Scope.ERASE}),
    "crossrec.ranking.v1.RankingService": frozenset({Scope.RANK}),
}
"""The scopes one of which a call of a service needs; services that are not listed, like reflection, need `admin`.

The gateway checks the scope of each entry besides (`services.gateway.batch`).
"""

_ADMIN = frozenset({Scope.ADMIN})

OPEN = {"grpc.health.v1.Health"}
"""Services that need no token: probes have none."""

_logger = logging.getLogger(__name__)


def needed_scopes(method: str) -> frozenset[Scope] | None:
    """The scopes one of which a method, like /service/method, needs; None: no token is needed."""
    service = method[1:].partition("/")[0]
    return None if service in OPEN else SCOPES.get(service, _ADMIN)


class AccessInterceptor(grpc.ServerInterceptor):
    """Rejects calls without a valid token of the scope that they need.

    Args:
        verifier: verifies tokens.
    """

    def __init__(self, verifier: TokenVerifier) -> None:
        self._verifier, self._rejections = verifier, CountedLog("access_refused", _logger)

    def intercept_service(self, continuation: Any, handler_call_details: Any) -> Any:
        """The method's handler, or one that rejects the call."""
        method = handler_call_details.method
        needed = needed_scopes(method)
        if needed is None:
            return continuation(handler_call_details)
        try:
            token = _bearer(handler_call_details.invocation_metadata)
            caller = self._authorize(token, needed)
        except RequestError as error:
            known = method if method[1:].partition("/")[0] in SCOPES else "other"
            self._rejections.count(f"{known} {error.reason}")
            return _rejecting_handler(error)
        grant = Grant(caller, lambda: self._authorize(token, needed))
        CURRENT_GRANT.set(grant)
        handler = continuation(handler_call_details)
        return _checked_handler(handler, grant) if handler is not None and handler.stream_stream else handler

    def _authorize(self, token: str, needed: frozenset[Scope]) -> Caller:
        caller = self._verifier.caller(token)
        if caller.scopes.isdisjoint(needed):
            raise PermissionDenied(f"the token has no scope {' or '.join(sorted(needed))}")
        return caller


def _bearer(metadata: Sequence[tuple[str, str | bytes]]) -> str:
    """The token of a call. Raises Unauthenticated."""
    given = [value for name, value in metadata if name == "authorization"]
    if not given:
        raise Unauthenticated("no token: send the metadata `authorization: Bearer ...`")
    scheme, _, token = str(given[0]).partition(" ")
    if len(given) > 1 or scheme.lower() != "bearer" or not token.strip():
        raise Unauthenticated("the metadata authorization must be `Bearer ...`, once")
    return token.strip()


def _rejecting_handler(error: RequestError) -> Any:
    """A handler that raises the error for calls of any kind, without reading them."""

    def reject(_requests: Iterator[bytes], _context: Any) -> Iterator[bytes]:
        raise error

    return grpc.stream_stream_rpc_method_handler(reject)


def _checked_handler(handler: Any, grant: Grant) -> Any:
    """A stream's handler that reads no message after the token expired or was withdrawn."""
    behave = handler.stream_stream

    def answers(requests: Iterator[Any], context: Any) -> Iterator[Any]:
        return behave(_while_valid(requests, grant), context)  # type: ignore[no-any-return]

    return grpc.stream_stream_rpc_method_handler(answers, handler.request_deserializer, handler.response_serializer)


def _while_valid(requests: Iterator[Any], grant: Grant) -> Iterator[Any]:
    for request in requests:
        grant.check()
        yield request
