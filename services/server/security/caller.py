"""Who calls, and what they may do; what the interceptors found out and services ask for."""

from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import grpc

CLIENT = "crossrec-client"
"""Request metadata in which a client without a token names itself."""

MAX_CLIENT_CHARS = 128


class Scope(StrEnum):
    """What a token lets its holder do."""

    PUBLISH = "publish"
    RANK = "rank"
    ADMIN = "admin"


@dataclass(frozen=True)
class Caller:
    """Whose token it is.

    Args:
        name: of the token, or its subject.
        scopes: what they may do.
        expires_s: until when, seconds since 1970; infinity: for good.
    """

    name: str
    scopes: frozenset[Scope]
    expires_s: float = float("inf")


@dataclass(frozen=True)
class Grant:
    """What let a call in.

    Args:
        caller: who calls.
        check: raises Unauthenticated or PermissionDenied once the token does not let them in any more.
    """

    caller: Caller
    check: Callable[[], object]


GRANT: ContextVar[Grant | None] = ContextVar("grant", default=None)
"""Of the call in whose context this is read; gRPC keeps a context per call. None: no token is needed."""


def client_of(context: "grpc.ServicerContext") -> str:
    """Who calls: by the token, else by the name that it gives itself, else the address without the port."""
    if grant := GRANT.get():
        return f"token:{grant.caller.name}"
    for name, value in context.invocation_metadata():
        if name == CLIENT and value:
            return f"name:{str(value)[:MAX_CLIENT_CHARS]}"
    return str(context.peer()).rpartition(":")[0]
