"""Connection arguments of redis-py: addresses, TLS and passwords of the online store, from the settings.

Every client of the store is made with `redis_options`. Opens no connection.
"""

from typing import Any

from services.settings.infrastructure import StoreSettings
from services.settings.section import read_secret, readable_paths
from services.settings.store_url import parse_store_url


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


def redis_nodes(store: StoreSettings) -> tuple[tuple[str, int], ...]:
    """Host and port of each node that the settings name; several are those of a cluster."""
    return parse_store_url(store.url).nodes


def redis_arguments(store: StoreSettings) -> dict[str, Any]:
    """Arguments of a `redis.Redis` for the store's first node."""
    url = parse_store_url(store.url)
    host, port = url.nodes[0]
    return {"host": host, "port": port, "db": url.db, "ssl": url.ssl, **redis_options(store)}
