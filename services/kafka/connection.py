"""Connection settings of Kafka: the one place where addresses, TLS and passwords become arguments of a Kafka client.

Every Kafka client is made with `kafka_arguments`; `translate_errors` translates its errors. Opens nothing.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from services.errors import CrossRecError
from services.settings.infrastructure import KafkaSettings
from services.settings.section import read_secret, readable_paths

Kafka = KafkaSettings | str
"""A Kafka by its settings; or by its brokers alone, host:port, comma-separated, without TLS and passwords."""

WAIT_S = 10.0
"""Longest wait of commands for the brokers, seconds."""


class KafkaUnavailable(CrossRecError):
    """Kafka cannot be reached or did not confirm; after a failed commit, only a rewind shows what was committed."""


def brokers_of(kafka: Kafka) -> str:
    """The brokers, host:port, comma-separated; for messages."""
    return kafka if isinstance(kafka, str) else kafka.bootstrap_servers


def kafka_arguments(kafka: Kafka) -> dict[str, Any]:
    """Connection arguments of every kafka-python client. ConfigurationError if a file cannot be read."""
    arguments: dict[str, Any] = {"bootstrap_servers": brokers_of(kafka).split(",")}
    if isinstance(kafka, str) or kafka.security_protocol == "PLAINTEXT":
        return arguments
    arguments["security_protocol"] = kafka.security_protocol
    if kafka.security_protocol.endswith("SSL"):
        files = {"ssl_cafile": "ca_file", "ssl_certfile": "certificate_file", "ssl_keyfile": "key_file"}
        arguments |= readable_paths("kafka", kafka, files)
    if kafka.security_protocol.startswith("SASL"):
        arguments |= {
            "sasl_mechanism": kafka.sasl_mechanism,
            "sasl_plain_username": kafka.sasl_username,
            "sasl_plain_password": read_secret(
                "kafka.sasl_password_file", kafka.sasl_password, kafka.sasl_password_file
            ),
        }
    return arguments


@contextmanager
def translate_errors(kafka: Kafka) -> Iterator[None]:
    """Raise errors of Kafka's client as KafkaUnavailable."""
    # Imported here, so that processes without a Kafka client do not load one.
    from kafka.errors import KafkaError

    try:
        yield
    except KafkaError as error:
        reason = f"{type(error).__name__}: {error}"
        raise KafkaUnavailable(
            f"Kafka at {brokers_of(kafka)} cannot be reached or does not answer: {reason}"
        ) from error


def has_compiled_checksums() -> bool:
    """Whether kafka-python computes checksums of records with the compiled package crc32c, not in Python."""
    from kafka.record import util

    return util.crc32c_c is not None


def missing_codecs() -> list[str]:
    """Names of the compressions of Kafka that this environment cannot read or write, for lack of a package."""
    from kafka import codec

    found = {"snappy": codec.has_snappy(), "lz4": codec.has_lz4(), "zstd": codec.has_zstd()}
    return [name for name, is_there in found.items() if not is_there]
