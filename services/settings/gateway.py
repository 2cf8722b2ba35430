"""Settings of the event gateway."""

from pydantic import Field

from services.settings.section import Section


class GatewaySettings(Section):
    """The event gateway."""

    listen: str = Field("127.0.0.1:50051", description="Address of the gRPC server.")
    future_tolerance_s: float = Field(
        300.0, ge=0, description="How far ahead of the clock an event time may be, seconds."
    )
    max_age_half_lives: float = Field(
        10.0,
        ge=0,
        description="Age of a behaviour event, in the longest half-lives, beyond which it is rejected; 0: none.",
    )
    kafka_timeout_s: float = Field(
        10.0,
        gt=0,
        description="Seconds until an unconfirmed batch is answered UNAVAILABLE, a streamed one as unconfirmed.",
    )
    max_workers: int = Field(32, ge=1, description="Batches stored at once; more get RESOURCE_EXHAUSTED.")
    max_streams: int = Field(32, ge=1, description="Streams open at once; more get RESOURCE_EXHAUSTED.")
    stream_window: int = Field(
        5000, ge=1, description="Entries of a stream that are read and not answered; reading waits beyond it."
    )
    max_pending_bytes: int = Field(
        64 * 1024 * 1024,
        ge=1,
        description="Bytes accepted, not yet confirmed by Kafka; beyond, batches get RESOURCE_EXHAUSTED, streams wait.",
    )
    max_pending_records: int = Field(50_000, ge=1, description="The same bound in records.")
    rate_limit_events_per_s: float = Field(
        0.0,
        ge=0,
        description="Events per second and client, by its crossrec-client metadata or else its address; 0: any number.",
    )
    rate_limit_burst: int = Field(1000, ge=1, description="Events that a client may send at once after a pause.")
    health_interval_s: float = Field(
        1.0, gt=0, description="Seconds between checks of Kafka; three failed ones turn health NOT_SERVING."
    )
    metrics_listen: str = Field(
        "",
        description="Where /metrics (Prometheus), /live and /ready are served over HTTP, like 127.0.0.1:9103; "
        "empty: nowhere.",
    )
