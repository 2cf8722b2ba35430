"""Which of redis-py's errors pass, and what a client does about them.

A server that was demoted, loads its data or lost its cluster answers so on every open connection for as long as that
stands. So its connections are dropped: the next ones resolve the name of the store anew.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from redis import Redis, exceptions

from services.store.protocol import StoreDenied, StoreUnavailable
from services.store.redis.pipeline import Client

_NOT_SERVING = (exceptions.ReadOnlyError, exceptions.BusyLoadingError, exceptions.ClusterDownError)
"""The server is not, or not yet, the one to ask. MASTERDOWN is a ClusterDownError."""

_UNREACHABLE = (
    *_NOT_SERVING,
    exceptions.ConnectionError,
    exceptions.TimeoutError,
    exceptions.OutOfMemoryError,
    exceptions.TryAgainError,
    # Of a cluster: no node answers, or none owns the slot.
    exceptions.RedisClusterException,
    # Slots moved again and again while the commands were sent.
    exceptions.AskError,
    # A server that was restarted within a pipeline has lost the script that its first commands loaded.
    exceptions.NoScriptError,
)

_PASSING = ("NOREPLICAS", "MISCONF", "BUSY", "UNBLOCKED", "WAIT cannot be used with replica")
"""Beginnings of passing errors that redis-py has no class for: too few replicas, a full disk, a script that runs, a
primary that was demoted."""

_DENIED_IN_SCRIPT = "ACL failure in script"

_QUOTED_COMMAND = re.compile(r"^Command # \d+ \(.*\) of pipeline caused error: ", re.DOTALL)


@contextmanager
def connected(open_client: Callable[[], Client]) -> Iterator[Client]:
    """A client of the store, whose errors of connections and servers are raised as StoreUnavailable.

    StoreDenied where the store's user lacks a right.
    """
    client: Client | None = None
    try:
        client = open_client()
        yield client
    except exceptions.NoPermissionError as error:
        raise _denied(client, error) from error
    except _UNREACHABLE as error:
        if isinstance(error, _NOT_SERVING):
            drop_idle_connections(client)
        raise StoreUnavailable(f"online store: {_reason(error)}") from error
    except exceptions.ResponseError as error:
        if str(error).startswith(_DENIED_IN_SCRIPT):
            raise _denied(client, error) from error
        if not str(error).startswith(_PASSING):
            raise
        raise StoreUnavailable(f"online store: {_reason(error)}") from error


def drop_idle_connections(client: Client | None) -> None:
    """Close the connections to a server that are not in use; a cluster's client knows its nodes by itself."""
    if isinstance(client, Redis):
        client.connection_pool.disconnect(inuse_connections=False)


def _denied(client: Client | None, error: Exception) -> StoreDenied:
    arguments = client.get_connection_kwargs() if client is not None else {}
    user = arguments.get("username") or "default"
    return StoreDenied(f"online store: the rights of user {user} do not suffice: {_reason(error)}")


def _reason(error: Exception) -> str:
    # An error of a pipeline quotes the command, which holds the id of a user.
    return _QUOTED_COMMAND.sub("", str(error))
