"""Settings of Kafka and of the online store."""

from pathlib import Path

from pydantic import Field

from services.runtime.sections.section import Section


class KafkaSettings(Section):
    """Where events travel."""

    bootstrap_servers: str = Field("127.0.0.1:9092", description="Kafka brokers, host:port, comma-separated.")
    topic_prefix: str = Field("crossrec", description="Topics are named <prefix>.behavior and so on.")
    partitions: int = Field(4, ge=1, description="Partitions of the behaviour, items and activity topics.")
    replication_factor: int = Field(1, ge=1, description="Copies of each partition; 3 in production.")
    topic_epoch: int = Field(1, ge=1, description="Raise by one when a topic was re-created: old positions are void.")


class StoreSettings(Section):
    """Where features are kept online."""

    url: str = Field("127.0.0.1:6379", description="Redis or Valkey, host:port[,password=...][,ssl=true].")
    project: str = Field("crossrec", description="Feast project; part of every key.")
    registry: Path = Field(Path("data/feast/registry.db"), description="Feast's registry file.")
    offline_dir: Path = Field(Path("data/offline"), description="Parquet files behind get_historical_features.")
    retry_after_s: float = Field(1.0, ge=0, description="Seconds that rankings do without a store that failed.")
    read_timeout_s: float = Field(0.5, gt=0, description="Seconds until a read counts as failed.")
    failures: int = Field(3, ge=1, description="Failed or late reads in a row until rankings do without the store.")
    user_retention_days: int = Field(
        0, ge=0, description="Days without an event after which a user's rows expire, in the store itself; 0: never."
    )
