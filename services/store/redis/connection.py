"""Clients of the online store by the settings: addresses, TLS, passwords, one server or a cluster.

Every client of the store is made here. Opens no connection itself: redis-py does on the first command, or, for the
slots of a cluster, when its client is made.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import redis
from redis import Redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from services.settings.infrastructure import StoreSettings
from services.settings.section import read_secret, readable_paths
from services.settings.store_url import parse_store_url
from services.store.redis.cluster import StoreCluster
from services.store.redis.pipeline import Client

Address = tuple[str, int]

_RETRY_ONCE = Retry(NoBackoff(), 1, supported_errors=(redis.ConnectionError,))
"""A connection that broke while idle is made anew, without further retries: redis-py's own ones wait for seconds and
time-outs, in which a request could be ranked without the store and a consumer does not react to its stop signal."""


def redis_options(store: StoreSettings) -> dict[str, Any]:
    """Login and TLS arguments of a redis-py client. Raises ConfigurationError if a file cannot be read."""
    options: dict[str, Any] = {}
    if store.username:
        options["username"] = store.username
    if password := read_secret("store.password_file", store.password, store.password_file):
        options["password"] = password
    files = {"ssl_ca_certs": "ca_file", "ssl_certfile": "certificate_file", "ssl_keyfile": "key_file"}
    if encrypted := readable_paths("store", store, files):
        options |= {"ssl": True, **encrypted}
    return options


def redis_nodes(store: StoreSettings) -> tuple[Address, ...]:
    """Host and port of each node that the settings name; several are those of a cluster."""
    return parse_store_url(store.url).nodes


def redis_arguments(store: StoreSettings) -> dict[str, Any]:
    """Arguments of a `redis.Redis` for the store's first node."""
    url = parse_store_url(store.url)
    host, port = url.nodes[0]
    return {"host": host, "port": port, "db": url.db, "ssl": url.ssl, **redis_options(store)}


def open_client(
    nodes: Sequence[Address], *, cluster: bool, on_connect: Callable[[Any], None] | None = None, **arguments: Any
) -> Client:
    """A client that repeats a command once, at once, if the connection broke.

    Args:
        nodes: host and port of each node; of a single server, the first counts.
        cluster: whether they are nodes of a cluster.
        on_connect: called with every connection that is made.
        arguments: of redis-py's connections.
    """
    if cluster:
        return StoreCluster(nodes, redis_connect_func=on_connect, **arguments)

    def connect(connection: Any) -> None:
        connection.on_connect()  # a cluster's client calls it itself
        if on_connect is not None:
            on_connect(connection)

    host, port = nodes[0]
    return Redis(host=host, port=port, **{"retry": _RETRY_ONCE, "redis_connect_func": connect, **arguments})


class StoreConnection:
    """The client of the settings, made on first use.

    Args:
        store: address, login, certificates, and the time-out of a read.
    """

    def __init__(self, store: StoreSettings) -> None:
        self._store = store
        self._client: Client | None = None
        self._made: Counter[Address] = Counter()

    def client(self) -> Client:
        """The client. Raises redis-py's errors if a cluster's nodes do not answer; ConfigurationError."""
        if self._client is None:
            url, timeout_s = parse_store_url(self._store.url), self._store.read_timeout_s
            several = len(url.nodes) > 1
            arguments = {"ssl": url.ssl, **({} if several else {"db": url.db}), **redis_options(self._store)}
            timeouts = {"socket_timeout": timeout_s, "socket_connect_timeout": timeout_s}
            self._client = open_client(url.nodes, cluster=several, on_connect=self._count, **arguments, **timeouts)
        return self._client

    def node_changes(self) -> int:
        """How often a server was connected again, and the primaries of a cluster changed."""
        failovers = self._client.failovers if isinstance(self._client, StoreCluster) else 0
        return self._made.total() - len(self._made) + failovers

    def _count(self, connection: Any) -> None:
        self._made[connection.host, int(connection.port)] += 1
