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
    """A permission of a token."""

    PUBLISH = "publish"
    RANK = "rank"
    ADMIN = "admin"


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
        check: raises Unauthenticated or PermissionDenied once the token does not permit the call any more.
    """

    caller: Caller
    check: Callable[[], object]


CURRENT_GRANT: ContextVar[Grant | None] = ContextVar("grant", default=None)
"""The grant of the current call; gRPC keeps a context per call. None: the server requires no token."""


def client_of(context: "grpc.ServicerContext") -> str:
    """The client of a call: name of its token, else its `crossrec-client` metadata, else its address without port."""
    if grant := CURRENT_GRANT.get():
        return f"token:{grant.caller.name}"
    for name, value in context.invocation_metadata():
        if name == CLIENT and value:
            return f"name:{str(value)[:MAX_CLIENT_CHARS]}"
    return str(context.peer()).rpartition(":")[0]
