"""The feed of changed rows: Redis' client-side caching in broadcasting mode.

The server sends the keys under a prefix that any client writes, so that a cache need not read unchanged rows again
(https://redis.io/docs/latest/develop/reference/client-side-caching/). Changes made while the connection was down are
lost; `take` reports that. Knows keys and connections; knows nothing of what is cached.
"""

import contextlib
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import redis
from redis import Redis

from services.store.protocol import Key, StoreUnavailable
from services.store.redis.cluster import StoreCluster
from services.store.redis.errors import drop_idle_connections
from services.store.redis.layout import RedisLayout
from services.store.redis.pipeline import Client, primary_nodes

CHANNEL = b"__redis__:invalidate"
CHECK_S = 1.0
"""Seconds between checks of a tracking connection: if it is lost, or its server was demoted, no more changes come."""

TABLE_S = 5.0
"""Seconds between refreshes of the table of slots: a node that got its first slots sends changes, too."""

_LOST = (redis.RedisError, redis.exceptions.RedisClusterException, OSError)


class RedisChangeFeed:
    """A ChangeFeed over Redis or Valkey, of every node of a cluster.

    Args:
        client: makes the connections to the store.
        layouts: of one view per kind of entity; views of the same entities change together.
    """

    def __init__(self, client: Callable[[], Client], layouts: Sequence[RedisLayout]) -> None:
        self._client, self._layouts = client, layouts
        self._listeners: dict[str, NodeListener] = {}
        self._table_s = 0.0

    def take(self, wait_s: float) -> dict[str, set[Key]] | None:
        """See `ChangeFeed`."""
        client: Client | None = None
        try:
            client = self._client()
            nodes = self._nodes(client)
            if not self._listeners:
                prefixes = [layout.key_prefix for layout in self._layouts]
                for name, node in nodes.items():
                    self._listeners[name] = NodeListener(node, prefixes)
                return None
            if nodes.keys() != self._listeners.keys():
                raise redis.ConnectionError("other nodes own the slots now")
            share_s = wait_s / len(self._listeners)
            return self._by_view(key for listener in self._listeners.values() for key in listener.take(share_s))
        except _LOST as error:
            self.close()
            drop_idle_connections(client)
            raise StoreUnavailable(f"online store: no feed of changes: {error}") from error

    def close(self) -> None:
        """See `ChangeFeed`."""
        for listener in self._listeners.values():
            listener.close()
        self._listeners, self._table_s = {}, 0.0

    def _nodes(self, client: Client) -> dict[str, Redis]:
        now_s = time.monotonic()
        if isinstance(client, StoreCluster) and now_s - self._table_s > TABLE_S:
            client.refresh(now_s)
            self._table_s = now_s
        return primary_nodes(client)

    def _by_view(self, keys: Iterable[bytes]) -> dict[str, set[Key]]:
        changed: dict[str, set[Key]] = {layout.view.name: set() for layout in self._layouts}
        for key in keys:
            for layout in self._layouts:
                ids = layout.decode_key(key)
                if ids is not None:
                    changed[layout.view.name].add(ids)
        return changed


class NodeListener:
    """The changes of one node: one connection asks it to track keys, the other receives the messages."""

    def __init__(self, node: Redis, prefixes: Sequence[bytes]) -> None:
        self._receiving: Any = node.connection_pool.make_connection()
        self._tracking: Any = node.connection_pool.make_connection()
        try:
            client_id = _execute(self._receiving, "CLIENT", "ID")
            _execute(self._receiving, "SUBSCRIBE", CHANNEL)
            options = [part for prefix in prefixes for part in ("PREFIX", prefix)]
            _execute(self._tracking, "CLIENT", "TRACKING", "ON", "REDIRECT", client_id, "BCAST", *options)
            self._role = _role(self._tracking)
        except BaseException:
            self.close()
            raise
        self._checked_s = time.monotonic()

    def take(self, wait_s: float) -> Iterator[bytes]:
        """The keys written since the last call."""
        if time.monotonic() - self._checked_s > CHECK_S:
            role = _role(self._tracking)
            if role != self._role:
                raise redis.ConnectionError(f"the server was {self._role} and is {role} now")
            self._checked_s = time.monotonic()
        while self._receiving.can_read(timeout=wait_s):
            _, _, keys = self._receiving.read_response(disable_decoding=True)
            if keys is None:
                raise redis.ConnectionError("the store was flushed")
            yield from keys
            wait_s = 0.0

    def close(self) -> None:
        """Close both connections."""
        for connection in (self._receiving, self._tracking):
            with contextlib.suppress(redis.RedisError, OSError):
                connection.disconnect()


def _role(connection: Any) -> str:
    """Whether the server is a `master` or a `replica`, by the answer that needs no right but to connect."""
    answer = _execute(connection, "HELLO")
    fields = answer if isinstance(answer, dict) else dict(zip(answer[::2], answer[1::2], strict=True))
    return bytes(fields[b"role"]).decode()


def _execute(connection: Any, *command: Any) -> Any:
    connection.send_command(*command)
    return connection.read_response(disable_decoding=True)
