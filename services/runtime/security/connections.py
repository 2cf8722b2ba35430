"""How Kafka and the online store are reached: the one place where addresses, TLS and passwords become arguments.

Every client of Kafka is made with `kafka_arguments`, every one of the store with `redis_options`. Opens nothing.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from services.errors import ConfigurationError
from services.server.security.watched_files import read_file
from services.settings.infrastructure import KafkaSettings, StoreSettings

Kafka = KafkaSettings | str
"""A Kafka by its settings; or by its brokers alone, host:port, comma-separated, where nothing protects it."""


def brokers_of(kafka: Kafka) -> str:
    """The brokers, host:port, comma-separated; to be shown."""
    return kafka if isinstance(kafka, str) else kafka.bootstrap_servers


def kafka_arguments(kafka: Kafka) -> dict[str, Any]:
    """What every client of kafka-python is told of the brokers. ConfigurationError if a file cannot be read."""
    arguments: dict[str, Any] = {"bootstrap_servers": brokers_of(kafka).split(",")}
    if isinstance(kafka, str) or kafka.security_protocol == "PLAINTEXT":
        return arguments
    arguments["security_protocol"] = kafka.security_protocol
    if kafka.security_protocol.endswith("SSL"):
        files = {"ssl_cafile": "ca_file", "ssl_certfile": "certificate_file", "ssl_keyfile": "key_file"}
        arguments |= _files("kafka", kafka, files)
    if kafka.security_protocol.startswith("SASL"):
        arguments |= {
            "sasl_mechanism": kafka.sasl_mechanism,
            "sasl_plain_username": kafka.sasl_username,
            "sasl_plain_password": _secret("kafka.sasl_password_file", kafka.sasl_password, kafka.sasl_password_file),
        }
    return arguments


def redis_options(store: StoreSettings) -> dict[str, Any]:
    """How a client of redis-py logs in and encrypts. ConfigurationError if a file cannot be read."""
    options: dict[str, Any] = {}
    if store.username:
        options["username"] = store.username
    if password := _secret("store.password_file", store.password, store.password_file):
        options["password"] = password
    files = {"ssl_ca_certs": "ca_file", "ssl_certfile": "certificate_file", "ssl_keyfile": "key_file"}
    if encrypted := _files("store", store, files):
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


def _files(table: str, settings: KafkaSettings | StoreSettings, names: Mapping[str, str]) -> dict[str, str]:
    """Paths by argument of the settings' files that are set; each is tried, for clients only say that they failed."""
    found: dict[str, str] = {}
    for argument, name in names.items():
        path: Path | None = getattr(settings, name)
        if path:
            read_file(f"{table}.{name}", path)
            found[argument] = str(path)
    return found


def _secret(setting: str, given: SecretStr, file: Path | None) -> str:
    if file is None:
        return given.get_secret_value()
    try:
        text = read_file(setting, file).decode().rstrip("\r\n")
    except UnicodeDecodeError:
        raise ConfigurationError(f"{setting}: {file} is no UTF-8 text") from None
    if not text:
        raise ConfigurationError(f"{setting}: {file} is empty")
    return text
