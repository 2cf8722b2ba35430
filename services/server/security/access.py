"""Access control: which scope a call needs, and the interceptor that rejects calls whose token or certificate lacks it.

The interceptor decides before a request is read. A rejected call raises, so that `ErrorInterceptor`, which must come
before it, answers.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import grpc

from services.errors import PermissionDenied, RequestError, Unauthenticated
from services.server.counted_log import CountedLog
from services.server.grpc_handlers import wrap_handler
from services.server.security.caller import CURRENT_GRANT, Caller, Grant, Scope, certificate_name
from services.server.security.certificate_callers import CertificateVerifier
from services.server.security.verifier import TokenVerifier

SCOPES = {
    "crossrec.events.v1.EventService": frozenset({Scope.PUBLISH, Scope.CATALOGUE, Scope.ERASE}),
    "crossrec.ranking.v1.RankingService": frozenset({Scope.RANK}),
}
"""The scopes one of which a call of a service needs; services that are not listed, like reflection, need `admin`.

The gateway checks the scope of each entry besides (`services.gateway.batch`).
"""

AUTHORIZATION = "authorization"
"""The metadata that holds a token."""

_ADMIN = frozenset({Scope.ADMIN})

OPEN = {"grpc.health.v1.Health"}
"""Services that need no token: probes have none."""

_logger = logging.getLogger(__name__)


def needed_scopes(method: str) -> frozenset[Scope] | None:
    """The scopes one of which a method, like /service/method, needs; None: no token is needed."""
    service = method[1:].partition("/")[0]
    return None if service in OPEN else SCOPES.get(service, _ADMIN)


class AccessInterceptor(grpc.ServerInterceptor):
    """Rejects calls without a valid token of the scope that they need, or a certificate whose name has it.

    Args:
        verifier: verifies tokens; None: there are none.
        certificates: knows names in certificates, for calls without a token; None: they have no scopes.
    """

    def __init__(self, verifier: TokenVerifier | None, certificates: CertificateVerifier | None = None) -> None:
        self._verifier, self._certificates = verifier, certificates
        self._rejections = CountedLog("access_refused", _logger)

    def intercept_service(self, continuation: Any, handler_call_details: Any) -> Any:
        """The method's handler, or one that rejects the call."""
        method = handler_call_details.method
        needed = needed_scopes(method)
        if needed is None:
            return continuation(handler_call_details)
        metadata = handler_call_details.invocation_metadata
        if self._certificates and not (self._verifier and any(name == AUTHORIZATION for name, _ in metadata)):
            # The connection is not known before the call.
            handler = continuation(handler_call_details)
            by_certificate = partial(self._enter_by_certificate, self._certificates, method, needed)
            return handler and wrap_handler(_checked_handler(handler), by_certificate)
        try:
            self._grant(partial(self._by_token, _bearer(metadata), needed))
        except RequestError as error:
            self._count(method, error)
            return _rejecting_handler(error)
        handler = continuation(handler_call_details)
        return handler and _checked_handler(handler)

    @staticmethod
    def _grant(check: Callable[[], Caller]) -> None:
        CURRENT_GRANT.set(Grant(check(), check))

    def _by_token(self, token: str, needed: frozenset[Scope]) -> Caller:
        if self._verifier is None:
            raise Unauthenticated("this server takes no tokens")
        return _permitted("token", self._verifier.caller(token), needed)

    @contextmanager
    def _enter_by_certificate(
        self, certificates: CertificateVerifier, method: str, needed: frozenset[Scope], context: Any
    ) -> Iterator[None]:
        name = certificate_name(context)
        try:
            self._grant(lambda: _permitted("certificate", certificates.caller(name), needed))
        except RequestError as error:
            self._count(method, error)
            raise
        yield

    def _count(self, method: str, error: RequestError) -> None:
        known = method if method[1:].partition("/")[0] in SCOPES else "other"
        self._rejections.count(f"{known} {error.reason}")


def _permitted(what: str, caller: Caller, needed: frozenset[Scope]) -> Caller:
    """The caller. Raises PermissionDenied if it has none of the scopes."""
    if caller.scopes.isdisjoint(needed):
        raise PermissionDenied(f"the {what} has no scope {' or '.join(sorted(needed))}")
    return caller


def _bearer(metadata: Sequence[tuple[str, str | bytes]]) -> str:
    """The token of a call. Raises Unauthenticated."""
    given = [value for name, value in metadata if name == AUTHORIZATION]
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


def _checked_handler(handler: Any) -> Any:
    """A stream's handler that reads no message after the call's grant has ended; other handlers as they are."""
    behave = handler.stream_stream
    if not behave:
        return handler

    def answers(requests: Iterator[Any], context: Any) -> Iterator[Any]:
        return behave(_while_valid(requests, CURRENT_GRANT.get()), context)  # type: ignore[no-any-return]

    return grpc.stream_stream_rpc_method_handler(answers, handler.request_deserializer, handler.response_serializer)


def _while_valid(requests: Iterator[Any], grant: Grant | None) -> Iterator[Any]:
    for request in requests:
        if grant:
            grant.check()
        yield request
