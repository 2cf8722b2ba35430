"""The caller of a gRPC call: name, scopes, and the grant that the access interceptor leaves for services."""

from collections.abc import Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv6Address
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

if TYPE_CHECKING:
    import grpc


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
    """The holder of a token or of a client certificate.

    Args:
        name: name of the token, or its subject, or the name in the certificate.
        scopes: what it permits.
        expires_s: when it expires, seconds since 1970; infinity: never.
    """

    name: str
    scopes: frozenset[Scope]
    expires_s: float = float("inf")


@dataclass(frozen=True)
class Grant:
    """The access that a call was granted.

    Args:
        caller: the holder of the token or certificate.
        check: the caller as it is known now; raises Unauthenticated or PermissionDenied once the call is not permitted
            any more.
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
    """The client of a call, for its limits: name of its token, else of its certificate, else its address without port.

    Nothing that callers may choose freely is part of it.
    """
    return _authenticated(context) or _host(context.peer())


def waiter_of(context: "grpc.ServicerContext") -> str:
    """Who a call waits for: its client if that has a token or certificate, else its connection."""
    return _authenticated(context) or context.peer()


def certificate_name(context: "grpc.ServicerContext") -> str:
    """The name in the client's verified certificate: first URI, else common name, else first DNS name; empty: none."""
    found: Mapping[str, Any] = context.auth_context()
    names = (name for kind in ("x509_uri", "x509_common_name", "x509_dns") for name in found.get(kind, ()))
    return next((name.decode(errors="replace") for name in names if name), "")


def _authenticated(context: "grpc.ServicerContext") -> str:
    if grant := CURRENT_GRANT.get():
        return f"client:{grant.caller.name}"
    name = certificate_name(context)
    return f"client:{name}" if name else ""


def _host(peer: str) -> str:
    """The address of a peer like ipv4:127.0.0.1:80; of IPv6 the network: a client has 2**64 addresses there."""
    kind, _, rest = peer.partition(":")
    if kind != "ipv6":
        return peer.rpartition(":")[0] or peer
    try:
        address = IPv6Address(unquote(rest).rpartition("]")[0].strip("[").partition("%")[0])
    except ValueError:
        return peer
    return f"ipv6:{address.ipv4_mapped or IPv6Address(int(address) >> 64 << 64)}"
