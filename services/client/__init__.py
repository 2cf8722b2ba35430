"""Clients of the event gateway and the ranking server, sync and async.

Needs grpcio, protobuf and the generated `crossrec.*` modules and nothing else of this repository, so that it also
ships as a distribution of its own, `crossrec-client`, under the name `crossrec_client`.
"""

from .access import tls
from .errors import CallFailed, DeadlinePassed, InvalidRequest, NotAllowed, Overloaded, Unavailable
from .events import AsyncEventClient, EventClient
from .ranking import AsyncRankingClient, RankingClient

__all__ = [
    "AsyncEventClient",
    "AsyncRankingClient",
    "CallFailed",
    "DeadlinePassed",
    "EventClient",
    "InvalidRequest",
    "NotAllowed",
    "Overloaded",
    "RankingClient",
    "Unavailable",
    "tls",
]
