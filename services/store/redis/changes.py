"""Which rows have changed, as the store itself tells: Redis' client-side caching in broadcasting mode.

The server sends the keys of a prefix that are written, whoever writes them, so that a cache need not ask again for
what is as it was (https://redis.io/docs/latest/develop/reference/client-side-caching/). What went by while the
connection was down is not known; that is said. Knows keys and connections; knows nothing of what is cached.
"""

import contextlib
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import redis
from redis import Redis
from redis.cluster import RedisCluster

from services.features.schema import View
from services.store.protocol import Key, StoreUnavailable
from services.store.redis.layout import Layout
from services.store.redis.pipeline import Client

CHANNEL = b"__redis__:invalidate"
CHECK_S = 1.0
"""Seconds between looks whether the tracking connection still lives: without it nothing would be told any more."""


class Changes:
    """Tells the keys of rows that were written, view by view. For one thread.

    Args:
        client: makes the connections to the store.
        views: one view per kind of entity; views of the same entities change together.
        project: the Feast project.
    """

    def __init__(self, client: Callable[[], Client], views: Sequence[View], project: str) -> None:
        self._client, self._layouts = client, {view.name: Layout(view, project) for view in views}
        self._listeners: list[_Listener] = []

    def take(self, wait_s: float) -> dict[str, set[Key]] | None:
        """What was written since the last call, as soon as something was, or after `wait_s` seconds.

        None if something may have been missed: at the first call, and after the connection was lost.
        Raises StoreUnavailable when it cannot be made.
        """
        try:
            if not self._listeners:
                self._listeners = [_Listener(node, self._prefixes()) for node in _nodes(self._client())]
                return None
            return self._sorted(key for each in self._listeners for key in each.take(wait_s / len(self._listeners)))
        except (redis.RedisError, OSError) as error:
            self.close()
            raise StoreUnavailable(f"online store: cannot tell what changes: {error}") from error

    def close(self) -> None:
        """Stop being told."""
        for each in self._listeners:
            each.close()
        self._listeners = []

    def _prefixes(self) -> list[bytes]:
        return [layout.prefix for layout in self._layouts.values()]

    def _sorted(self, keys: Iterable[bytes]) -> dict[str, set[Key]]:
        changed: dict[str, set[Key]] = {name: set() for name in self._layouts}
        for key in keys:
            for name, layout in self._layouts.items():
                ids = layout.ids(key)
                if ids is not None:
                    changed[name].add(ids)
        return changed


class _Listener:
    """What one node tells: on one connection it is asked to, on the other it does."""

    def __init__(self, node: Redis, prefixes: Sequence[bytes]) -> None:
        self._told: Any = node.connection_pool.make_connection()
        self._asked: Any = node.connection_pool.make_connection()
        try:
            number = _ask(self._told, "CLIENT", "ID")
            _ask(self._told, "SUBSCRIBE", CHANNEL)
            wanted = [part for prefix in prefixes for part in ("PREFIX", prefix)]
            _ask(self._asked, "CLIENT", "TRACKING", "ON", "REDIRECT", number, "BCAST", *wanted)
        except BaseException:
            self.close()
            raise
        self._checked_s = time.monotonic()

    def take(self, wait_s: float) -> Iterator[bytes]:
        """The keys written since the last call."""
        if time.monotonic() - self._checked_s > CHECK_S:
            _ask(self._asked, "PING")
            self._checked_s = time.monotonic()
        while self._told.can_read(timeout=wait_s):
            _, _, keys = self._told.read_response(disable_decoding=True)
            if keys is None:
                raise redis.ConnectionError("the store was emptied")
            yield from keys
            wait_s = 0.0

    def close(self) -> None:
        """Close both connections."""
        for connection in (self._told, self._asked):
            with contextlib.suppress(redis.RedisError, OSError):
                connection.disconnect()


def _ask(connection: Any, *command: Any) -> Any:
    connection.send_command(*command)
    return connection.read_response(disable_decoding=True)


def _nodes(client: Client) -> list[Redis]:
    if not isinstance(client, RedisCluster):
        return [client]
    return [client.get_redis_connection(node) for node in client.get_primaries()]  # type: ignore[no-untyped-call]
