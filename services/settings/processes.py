"""Settings of the processes: event gateway, feature consumers, ranking server, and the served log it writes."""

from typing import Annotated, Self

from pydantic import Field, model_validator

from services.settings.section import SettingsSection

CONSUMED_TOPICS = {"behavior": "behavior", "item": "items", "scenario": "scenarios", "activity": "activity"}
"""Kind of consumer to the suffix of the topic that it reads."""

CONSUMER_KINDS = tuple(CONSUMED_TOPICS)


class GatewaySettings(SettingsSection):
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


class ConsumerSettings(SettingsSection):
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

    def group(self, kind: str) -> str:
        """Name of the consumer group of a kind of consumer."""
        return f"{self.group_prefix}-{kind}"


class RankingSettings(SettingsSection):
    """The ranking server."""

    listen: str = Field("127.0.0.1:50052", description="Address of the gRPC server.")
    model: str = Field("neural", description="Name of the model in the registry.")
    version: str = Field("", description="Version to serve in any case; empty: the promoted one, or the newest.")
    recogniser: str = Field(
        "recogniser",
        description="What recognises the scenario of requests that name none: a name in the registry (its newest "
        "version) or name/version; empty: the user's habits. The default is used if it is registered.",
    )
    workers: int = Field(
        1,
        ge=0,
        description="Processes that share the port, under a supervisor if more than 1; 0: one per core.",
    )
    metrics_listen: str = Field(
        "",
        description="Where /metrics (Prometheus, of all workers together), /live and /ready are served over HTTP, like "
        "127.0.0.1:9102; empty: nowhere.",
    )
    max_workers: int = Field(
        4,
        ge=1,
        description="Requests that a worker process ranks at once; 1 has the shortest tail with a store nearby, more "
        "go on while one waits for it.",
    )
    max_waiting: int = Field(64, ge=1, description="Most requests admitted at once; more get RESOURCE_EXHAUSTED.")
    target_wait_s: float = Field(0.05, gt=0, description="Seconds of waiting; while it is longer, fewer are admitted.")
    item_cache_size: int = Field(500_000, ge=1, description="Most items kept in memory.")
    item_cache_age_s: float = Field(
        5.0, ge=0, description="Seconds for which an item row in memory serves without word from the store."
    )
    warm_up_s: float = Field(60.0, ge=0, description="Seconds to read items before serving; the rest is read after.")
    user_rows_max_age_s: float = Field(
        300.0, ge=0, description="Seconds that a user's last known rows serve for while the store is away; 0: none."
    )
    user_rows_bytes: int = Field(64 * 1024 * 1024, ge=0, description="Bytes of them that a process keeps, about.")
    scenario_cache_age_s: float = Field(2.0, ge=0, description="Seconds until scenario rows are read again.")
    providers: tuple[str, ...] = Field(
        ("CPUExecutionProvider",),
        min_length=1,
        description="ONNX Runtime execution providers, best first; all must be obtained.",
    )
    watch_interval_s: float = Field(5.0, gt=0, description="Seconds between looks at the registry for what to serve.")
    shadow_share: float = Field(0.1, ge=0, le=1, description="Share of the requests that a shadow scores too.")
    shadow_waiting: int = Field(8, ge=1, description="Requests that wait for the shadow; more are dropped.")
    provider_options: dict[str, dict[str, str]] = Field(
        {}, description='Options of providers, as JSON or tables: {"CUDAExecutionProvider": {"device_id": "0"}}.'
    )
    candidate_buckets: tuple[Annotated[int, Field(ge=1)], ...] | None = Field(
        None,
        description="Numbers of candidates, ascending, to which runs of the model are filled up; not set: 64 to 2048 "
        "in powers of two where the first provider is a device, none on the processor.",
    )
    cuda_graph: bool = Field(
        default=False, description="Capture the model's runs as CUDA graphs; needs CUDAExecutionProvider and buckets."
    )
    batch_wait_ms: float = Field(
        0.0,
        ge=0,
        description="Longest that a request waits to be scored with others in one run, milliseconds; 0: not at all.",
    )
    batch_requests: int = Field(8, ge=2, description="Most requests scored in one run.")

    @model_validator(mode="after")
    def _ascending(self) -> Self:
        buckets = self.candidate_buckets or ()
        if list(buckets) != sorted(set(buckets)):
            raise ValueError("candidate_buckets must ascend")
        return self


class ServedLogSettings(SettingsSection):
    """The record of what was answered, with the features behind it."""

    # Off by default: records name users and hold what is known of them, so keeping them is for the operator to decide.
    share: float = Field(
        0.0,
        ge=0,
        le=1,
        description="Share of the answers that are written to the topic <prefix>.ranked, drawn at random; 0: none.",
    )
    waiting: int = Field(64, ge=1, description="Answers per worker process that wait to be written; more are dropped.")
    feature_items: int = Field(
        32, ge=0, description="Items per answer, the first ones, whose features are kept: about 1 to 2 kB each."
    )
