"""How Kafka is reached: the one place where addresses, TLS and passwords become arguments of a Kafka client.

Every client of Kafka is made with `kafka_arguments`. Opens nothing.
"""

from typing import Any

from services.settings.infrastructure import KafkaSettings
from services.settings.section import read_secret, readable_paths

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
