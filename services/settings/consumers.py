"""Settings of the feature consumers."""

from pydantic import Field

from services.settings.section import Section


class ConsumerSettings(Section):
    """The feature consumers."""

    group_prefix: str = Field("crossrec", description="Consumer groups are named <prefix>-behavior and so on.")
    max_poll_records: int = Field(5000, ge=1, description="Most records folded and written in one batch.")
    session_timeout_ms: int = Field(6000, ge=1000, description="Milliseconds without heartbeat until partitions move.")
    transaction_timeout_ms: int = Field(
        10000, ge=1000, description="Milliseconds until Kafka aborts a dead transaction."
    )
    item_cache_size: int = Field(200_000, ge=1, description="Items kept in memory to enrich events.")
    item_cache_age_s: float = Field(5.0, ge=0, description="Seconds until a cached item is read again.")
    metrics_listen: str = Field(
        "",
        description="Where a consumer serves /metrics (Prometheus), /live and /ready over HTTP, like 127.0.0.1:9101; "
        "one per process, port 0: any free one, in the log; empty: nowhere.",
    )
