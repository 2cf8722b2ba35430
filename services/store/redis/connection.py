"""How the online store is reached: the one place where addresses, TLS and passwords become arguments of a client.

Every client of the store is made with `redis_options`. Opens nothing.
"""

from typing import Any

from services.settings.infrastructure import StoreSettings
from services.settings.section import read_secret, readable_paths


def redis_options(store: StoreSettings) -> dict[str, Any]:
    """How a client of redis-py logs in and encrypts. ConfigurationError if a file cannot be read."""
    options: dict[str, Any] = {}
    if store.username:
        options["username"] = store.username
    if password := read_secret("store.password_file", store.password, store.password_file):
        options["password"] = password
    files = {"ssl_ca_certs": "ca_file", "ssl_certfile": "certificate_file", "ssl_keyfile": "key_file"}
    if encrypted := readable_paths("store", store, files):
        options |= {"ssl": True, **encrypted}
    return options


def redis_arguments(store: StoreSettings) -> dict[str, Any]:
    """What a `redis.Redis` of the store's first node is made with."""
    parts = [part.strip() for part in store.url.split(",")]
    host, _, port = next(part for part in parts if "=" not in part).partition(":")
    given = dict(part.split("=", 1) for part in parts if "=" in part)
    arguments: dict[str, Any] = {"host": host, "port": int(port or 6379)}
    if "db" in given:
        arguments["db"] = int(given["db"])
    return {**arguments, "ssl": given.get("ssl", "false").lower() == "true", **redis_options(store)}
