"""Settings of Kafka, of the online store, and of how long Kafka topics keep their records."""

from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, SecretStr, model_validator

from services.settings.address import Addresses
from services.settings.section import OptionalPath, SettingsSection
from services.settings.store_url import StoreAddress, parse_store_url


class KafkaSettings(SettingsSection):
    """The Kafka cluster and its topics."""

    bootstrap_servers: Addresses = Field("127.0.0.1:9092", description="Kafka brokers, host:port, comma-separated.")
    topic_prefix: str = Field("crossrec", description="Topics are named <prefix>.behavior and so on.")
    partitions: int = Field(4, ge=1, description="Partitions of the behaviour, items and activity topics.")
    replication_factor: int = Field(1, ge=1, description="Copies of each partition; 3 in production.")
    topic_epoch: int = Field(
        1, ge=1, description="Increase by one when a topic was re-created: positions in stored rows become invalid."
    )
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        "PLAINTEXT", description="Protocol to the brokers: SSL encrypts, SASL authenticates."
    )
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = Field(
        "SCRAM-SHA-512", description="SASL mechanism."
    )
    sasl_username: str = Field("", description="SASL user name; required with SASL.")
    sasl_password: SecretStr = Field(
        SecretStr(""), description="SASL password, by environment variable; or use sasl_password_file."
    )
    sasl_password_file: OptionalPath = Field(None, description="File with the SASL password; read at each connection.")
    ca_file: OptionalPath = Field(
        None, description="PEM file with certificate authorities of the brokers; not set: those of the system."
    )
    certificate_file: OptionalPath = Field(None, description="PEM file with the client's certificate, for mutual TLS.")
    key_file: OptionalPath = Field(None, description="PEM file with its private key, unencrypted.")

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if (self.certificate_file is None) != (self.key_file is None):
            raise ValueError("certificate_file and key_file go together")
        if (self.ca_file or self.certificate_file) and not self.security_protocol.endswith("SSL"):
            raise ValueError("ca_file and certificate_file need security_protocol SSL or SASL_SSL")
        password = self.sasl_password.get_secret_value() or self.sasl_password_file
        if len({self.security_protocol.startswith("SASL"), bool(self.sasl_username), bool(password)}) > 1:
            raise ValueError("security_protocol SASL_..., sasl_username and a password go together")
        if self.sasl_password.get_secret_value() and self.sasl_password_file:
            raise ValueError("sasl_password and sasl_password_file: give one of them")
        return self


class StoreSettings(SettingsSection):
    """The online feature store."""

    url: StoreAddress = Field(
        "127.0.0.1:6379",
        description="Redis or Valkey: host:port[,db=0][,ssl=true], several host:port for a cluster; or "
        "redis://host[:port][/db], rediss:// with TLS.",
    )
    username: str = Field("", description="User name at the store; empty: its default user.")
    password: SecretStr = Field(
        SecretStr(""), description="The store's password, by environment variable; or use password_file."
    )
    password_file: OptionalPath = Field(None, description="File with the password; read when the process starts.")
    ca_file: OptionalPath = Field(
        None,
        description="PEM file with certificate authorities of the store, for TLS; with ssl=true those of the system.",
    )
    certificate_file: OptionalPath = Field(None, description="PEM file with the client's certificate, for mutual TLS.")
    key_file: OptionalPath = Field(None, description="PEM file with its private key, unencrypted.")
    project: str = Field("crossrec", description="Feast project; part of every key.")
    registry: Path = Field(
        Path("data/feast/registry.db"),
        description="Feast's registry file, for its own clients. Default: feast/registry.db in the data set's folder.",
    )
    offline_dir: Path = Field(
        Path("data/offline"),
        description="Parquet files behind get_historical_features. Default: offline in the data set's folder.",
    )
    retry_after_s: float = Field(
        1.0,
        ge=0,
        description="Seconds that the circuit breaker stays open after the store failed: rankings do not read it.",
    )
    read_timeout_s: float = Field(0.5, gt=0, description="Time-out of a read, seconds.")
    failures: int = Field(3, ge=1, description="Failed or late reads in a row that open the circuit breaker.")
    user_retention_days: int = Field(
        0, ge=0, description="Days without an event after which the store expires a user's rows; 0: never."
    )
    wait_replicas: int = Field(
        0,
        ge=0,
        description="Replicas of each node that must have a batch before its offsets are committed; 0: none. With all "
        "of a node's replicas a failover loses no row.",
    )
    wait_ms: int = Field(
        1000, ge=1, le=10_000, description="Longest wait for them, milliseconds; then the batch is tried again."
    )

    @model_validator(mode="before")
    @classmethod
    def _parse_url(cls, given: Any) -> Any:
        """The url in Feast's form, its user name and password apart: urls are printed and logged."""
        if not isinstance(given, dict) or not isinstance(given.get("url"), str):
            return given
        try:
            url = parse_store_url(given["url"])
        except ValueError:
            return given  # refused by the field itself, by its name
        login = {"username": given.get("username") or url.username, "password": given.get("password") or url.password}
        return {**given, **{name: value for name, value in login.items() if value}, "url": url.connection_string()}

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if (self.certificate_file is None) != (self.key_file is None):
            raise ValueError("certificate_file and key_file go together")
        if self.password.get_secret_value() and self.password_file:
            raise ValueError("password and password_file: give one of them")
        url = parse_store_url(self.url)
        if len(url.nodes) > 1 and url.db:
            raise ValueError("url: a cluster (several host:port) has no db")
        return self


class RetentionSettings(SettingsSection):
    """Retention per topic; `crossrec setup` applies it, also to existing topics."""

    behavior_days: int = Field(30, ge=1, description="Days that behaviour events and erasures stay in Kafka.")
    activity_days: int = Field(7, ge=1, description="Days that deltas of item and scenario activity stay in Kafka.")
    dead_letter_days: int = Field(30, ge=1, description="Days that dead letters stay in Kafka.")
    ranked_days: int = Field(
        7,
        ge=1,
        description="Days that the served log stays in Kafka; at most behavior_days, since erasures are "
        "read from there.",
    )
    deletion_days: int = Field(
        7,
        ge=1,
        description="Days that Kafka keeps the deletion of an item or scenario; of existing ones the newest record "
        "stays.",
    )

    @model_validator(mode="after")
    def _erasures_outlive_answers(self) -> Self:
        if self.ranked_days > self.behavior_days:
            raise ValueError("ranked_days must not be more than behavior_days: erasures are read from there")
        return self
