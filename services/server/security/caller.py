"""The caller of a gRPC call: name, scopes, and the grant that the access interceptor leaves for services."""

from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import grpc

CLIENT = "crossrec-client"
"""Request metadata by which a client without a token identifies itself."""

MAX_CLIENT_CHARS = 128


class Scope(StrEnum):
    """A permission of a token. None includes another."""

    PUBLISH = "publish"
    """Behaviour events."""

    CATALOGUE = "catalogue"
    """Updates and deletions of items and scenarios."""

    ERASE = "erase"
    """Erasure of users."""

    RANK = "rank"
    """Rankings: they reveal the preferences of any user."""

    ADMIN = "admin"
    """Everything else, such as reflection."""


EVERY_SCOPE = frozenset(Scope)
"""The scopes of a caller where the server requires no token."""


@dataclass(frozen=True)
class Caller:
    """The holder of a token.

    Args:
        name: name of the token, or its subject.
        scopes: what the token permits.
        expires_s: when it expires, seconds since 1970; infinity: never.
    """

    name: str
    scopes: frozenset[Scope]
    expires_s: float = float("inf")


@dataclass(frozen=True)
class Grant:
    """The access that a call was granted.

    Args:
        caller: the holder of the token.
        check: the caller as the token names it now; raises Unauthenticated or PermissionDenied once the token does not
            permit the call any more.
    """

    caller: Caller
    check: Callable[[], Caller]


CURRENT_GRANT: ContextVar[Grant | None] = ContextVar("grant", default=None)
"""The grant of the current call; gRPC keeps a context per call. None: the server requires no token."""


def current_scopes() -> frozenset[Scope]:
    """What the token of the current call permits now. Raises Unauthenticated or PermissionDenied as `Grant.check`."""
    grant = CURRENT_GRANT.get()
    return EVERY_SCOPE if grant is None else grant.check().scopes


def client_of(context: "grpc.ServicerContext") -> str:
    """The client of a call: name of its token, else its `crossrec-client` metadata, else its address without port."""
    if grant := CURRENT_GRANT.get():
        return f"token:{grant.caller.name}"
    for name, value in context.invocation_metadata():
        if name == CLIENT and value:
            return f"name:{str(value)[:MAX_CLIENT_CHARS]}"
    return str(context.peer()).rpartition(":")[0]
