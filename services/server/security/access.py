"""Which calls need which scope, and the interceptor that lets only those in that have it.

It decides before a request is read. What it refuses raises, so that `ErrorInterceptor`, which must come before it,
answers.
"""

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import grpc

from services.errors import PermissionDenied, RequestError, Unauthenticated
from services.server.logging import log_event
from services.server.security.caller import GRANT, Caller, Grant, Scope
from services.server.security.verifier import Verifier

SCOPES = {
    "crossrec.events.v1.EventService": Scope.PUBLISH,
    "crossrec.ranking.v1.RankingService": Scope.RANK,
}
"""What calls of a service need; those that are not here, reflection among them, need `admin`."""

OPEN = {"grpc.health.v1.Health"}
"""Services for everybody: probes have no token."""

QUIET_S = 60.0
"""Refusals are logged at once, and then together, once in so many seconds."""

_logger = logging.getLogger(__name__)


def needed_scope(method: str) -> Scope | None:
    """The scope that a method, like /service/method, needs; None: it is open."""
    service = method[1:].partition("/")[0]
    return None if service in OPEN else SCOPES.get(service, Scope.ADMIN)


class AccessInterceptor(grpc.ServerInterceptor):
    """Lets calls in whose token has the scope that they need.

    Args:
        verifier: knows tokens.
        refusals: hears of calls that were not let in.
    """

    def __init__(self, verifier: Verifier, refusals: "Refusals | None" = None) -> None:
        self._verifier, self._refusals = verifier, refusals or Refusals()

    def intercept_service(self, continuation: Any, handler_call_details: Any) -> Any:
        """The method's handler, or one that refuses."""
        method = handler_call_details.method
        needed = needed_scope(method)
        if needed is None:
            return continuation(handler_call_details)
        try:
            token = _bearer(handler_call_details.invocation_metadata)
            caller = self._admitted(token, needed)
        except RequestError as error:
            self._refusals.note(method, error.reason)
            return _refusing(error)
        grant = Grant(caller, lambda: self._admitted(token, needed))
        GRANT.set(grant)
        handler = continuation(handler_call_details)
        return _checking(handler, grant) if handler is not None and handler.stream_stream else handler

    def _admitted(self, token: str, needed: Scope) -> Caller:
        caller = self._verifier.caller(token)
        if needed not in caller.scopes:
            raise PermissionDenied(f"the token has no scope {needed}")
        return caller


class Refusals:
    """Says in the log that calls are refused, however many, without a line for each. Safe between threads.

    Args:
        clock_s: monotonic seconds.
    """

    def __init__(self, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._clock_s, self._next_s = clock_s, float("-inf")
        self._lock, self._counts = threading.Lock(), Counter[str]()

    def note(self, method: str, reason: str) -> None:
        """One more."""
        known = method if method[1:].partition("/")[0] in SCOPES else "other"
        with self._lock:
            self._counts[f"{known} {reason}"] += 1
            if self._clock_s() < self._next_s:
                return
            counts, self._counts = self._counts, Counter()
            self._next_s = self._clock_s() + QUIET_S
        log_event(_logger, "access_refused", level=logging.WARNING, counts=dict(counts))


def _bearer(metadata: Sequence[tuple[str, str | bytes]]) -> str:
    """The token of a call. Raises Unauthenticated."""
    given = [value for name, value in metadata if name == "authorization"]
    if not given:
        raise Unauthenticated("no token: send the metadata `authorization: Bearer ...`")
    scheme, _, token = str(given[0]).partition(" ")
    if len(given) > 1 or scheme.lower() != "bearer" or not token.strip():
        raise Unauthenticated("the metadata authorization must be `Bearer ...`, once")
    return token.strip()


def _refusing(error: RequestError) -> Any:
    """A handler for calls of any kind; it does not read them."""

    def refuse(_requests: Iterator[bytes], _context: Any) -> Iterator[bytes]:
        raise error

    return grpc.stream_stream_rpc_method_handler(refuse)


def _checking(handler: Any, grant: Grant) -> Any:
    """A stream's handler that takes no message after the token has expired or was withdrawn."""
    behave = handler.stream_stream

    def answers(requests: Iterator[Any], context: Any) -> Iterator[Any]:
        return behave(_while_valid(requests, grant), context)  # type: ignore[no-any-return]

    return grpc.stream_stream_rpc_method_handler(answers, handler.request_deserializer, handler.response_serializer)


def _while_valid(requests: Iterator[Any], grant: Grant) -> Iterator[Any]:
    for request in requests:
        grant.check()
        yield request
