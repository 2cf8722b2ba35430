"""Clients of the event gateway and the ranking server, sync and async.

Needs grpcio, protobuf and the generated `crossrec.*` modules and nothing else of this repository, so that it also
ships as a distribution of its own, `crossrec-client`, under the name `crossrec_client`.

Names are imported when they are first used: `crossrec health` needs channels alone, not the contracts' messages.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .channel import tls
    from .errors import (
        AccessDenied,
        CallFailed,
        DeadlineExceeded,
        InvalidArgument,
        ResourceExhausted,
        ServiceUnavailable,
    )
    from .events import AsyncEventClient, EventClient
    from .ranking import AsyncRankingClient, RankingClient

__all__ = [
    "AccessDenied",
    "AsyncEventClient",
    "AsyncRankingClient",
    "CallFailed",
    "DeadlineExceeded",
    "EventClient",
    "InvalidArgument",
    "RankingClient",
    "ResourceExhausted",
    "ServiceUnavailable",
    "tls",
]

_MODULES = {
    "tls": "channel",
    "AsyncEventClient": "events",
    "EventClient": "events",
    "AsyncRankingClient": "ranking",
    "RankingClient": "ranking",
}
"""Module of each name; those that are not listed are errors."""


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_MODULES.get(name, 'errors')}", __name__), name)
