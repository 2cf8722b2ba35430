"""Settings of the processes: event gateway, feature consumers, ranking server, and the served log it writes."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from services.settings.address import ListenAddress, OptionalListenAddress
from services.settings.section import SettingsSection

CONSUMED_TOPICS = {"behavior": "behavior", "item": "items", "scenario": "scenarios", "activity": "activity"}
"""Kind of consumer to the suffix of the topic that it reads."""

CONSUMER_KINDS = tuple(CONSUMED_TOPICS)

UnregisteredScenarios = Literal["accept", "pool", "reject"]
"""What becomes of events in unregistered scenarios."""


class GatewaySettings(SettingsSection):
    """The event gateway."""

    listen: ListenAddress = Field("127.0.0.1:50051", description="Address of the gRPC server.")
    future_tolerance_s: float = Field(300.0, ge=0, description="Largest event time ahead of the clock, seconds.")
    max_age_half_lives: float = Field(
        10.0,
        ge=0,
        description="Largest age of a behaviour event, in units of the longest half-life; older ones are "
        "rejected; 0: no limit.",
    )
    kafka_timeout_s: float = Field(
        10.0,
        gt=0,
        description="Seconds until an unconfirmed batch is answered UNAVAILABLE, a streamed one as unconfirmed.",
    )
    max_workers: int = Field(32, ge=1, description="Concurrent batches; more get RESOURCE_EXHAUSTED.")
    max_streams: int = Field(32, ge=1, description="Concurrent streams; more get RESOURCE_EXHAUSTED.")
    max_streams_per_client: int = Field(
        16, ge=1, description="Concurrent streams of one client; a client is as in rate_limit_events_per_s."
    )
    stream_idle_s: float = Field(
        300.0,
        gt=0,
        description="Seconds without a request after which a stream ends with OK, everything answered.",
    )
    stream_window: int = Field(
        5000, ge=1, description="Entries of a stream that are read and not answered; reading pauses above it."
    )
    max_pending_bytes: int = Field(
        64 * 1024 * 1024,
        ge=1,
        description="Bytes accepted and not yet confirmed by Kafka; above it, batches get "
        "RESOURCE_EXHAUSTED, streams wait.",
    )
    max_pending_records: int = Field(50_000, ge=1, description="The same limit in records.")
    rate_limit_events_per_s: float = Field(
        10_000.0,
        ge=0,
        description="Events per second and client; a client is its token's name, else that in its certificate, else "
        "its address; 0: no limit.",
    )
    rate_limit_burst: int = Field(10_000, ge=1, description="Events that a client may send in a burst.")
    health_interval_s: float = Field(
        1.0, gt=0, description="Seconds between checks of Kafka; after three failures health is NOT_SERVING."
    )
    metrics_listen: OptionalListenAddress = Field(
        "",
        description="Address of the HTTP endpoint of /metrics (Prometheus), /live and /ready, like "
        "127.0.0.1:9103; empty: none.",
    )


class ConsumerSettings(SettingsSection):
    """The feature consumers."""

    group_prefix: str = Field(
        "",
        description="Consumer groups are named <prefix>-behavior and so on; empty: store.project, so that two "
        "projects beside each other both read everything.",
    )
    max_poll_records: int = Field(5000, ge=1, description="Most records per batch.")
    session_timeout_ms: int = Field(
        6000, ge=1000, description="Milliseconds without heartbeat until partitions are reassigned."
    )
    transaction_timeout_ms: int = Field(
        10000, ge=1000, description="Milliseconds until Kafka aborts an abandoned transaction."
    )
    item_cache_size: int = Field(200_000, ge=1, description="Items kept in memory to enrich events.")
    item_cache_age_s: float = Field(5.0, ge=0, description="Seconds until a cached item is read again.")
    unregistered_scenarios: UnregisteredScenarios = Field(
        "pool",
        description="Events in scenarios without a ScenarioUpdate: pool counts them under the one scenario "
        "`unregistered`, accept under their own, reject makes them dead letters. With accept, each new name takes rows "
        "of the store that nothing reads until it is registered.",
    )
    max_scenarios: int = Field(
        64,
        ge=1,
        le=1000,
        description="Most scenarios: an update that would create one more is a dead letter, and ranking servers, whose "
        "work grows with the scenarios, use no more than these.",
    )
    metrics_listen: OptionalListenAddress = Field(
        "",
        description="Address of the HTTP endpoint of /metrics (Prometheus), /live and /ready, like "
        "127.0.0.1:9101; one per process; port 0: a free one, which is logged; empty: none.",
    )


class RankingSettings(SettingsSection):
    """The ranking server."""

    listen: ListenAddress = Field("127.0.0.1:50052", description="Address of the gRPC server.")
    model: str = Field("neural", description="Name of the model in the registry.")
    version: str = Field("", description="Version to serve always; empty: the promoted one, or the newest.")
    recogniser: str = Field(
        "recogniser",
        description="Model that recognises the scenario of requests without one: a name in the registry (its "
        "serving version) or name/version; empty: use the user's habits. The default is used if it is registered.",
    )
    workers: int = Field(
        1,
        ge=0,
        description="Worker processes that share the port, under a supervisor if more than 1; 0: one per core.",
    )
    metrics_listen: OptionalListenAddress = Field(
        "",
        description="Address of the HTTP endpoint of /metrics (Prometheus, all workers together), /live and /ready, "
        "like 127.0.0.1:9102; empty: none.",
    )
    max_workers: int = Field(
        4,
        ge=1,
        description="Requests that a worker process ranks concurrently; 1 has the lowest tail latency with a store "
        "nearby, more use the time in which one waits for it.",
    )
    max_waiting: int = Field(64, ge=1, description="Most requests admitted at a time; more get RESOURCE_EXHAUSTED.")
    target_wait_s: float = Field(
        0.05,
        gt=0,
        description="Target of the queueing delay, seconds; while it is exceeded, fewer requests are admitted.",
    )
    item_cache_size: int = Field(500_000, ge=1, description="Most items kept in memory.")
    item_cache_age_s: float = Field(
        5.0, ge=0, description="Seconds for which a cached item row is used without a refresh from the store."
    )
    warm_up_s: float = Field(
        60.0,
        ge=0,
        description="Time limit of reading items into the cache before serving, seconds; the rest is read later.",
    )
    user_rows_max_age_s: float = Field(
        300.0,
        ge=0,
        description="Seconds for which a user's last known rows are used while the store is unavailable; "
        "0: not at all.",
    )
    user_rows_bytes: int = Field(
        64 * 1024 * 1024, ge=0, description="Approximate size of this cache per process, bytes."
    )
    scenario_cache_age_s: float = Field(2.0, ge=0, description="Seconds until scenario rows are read again.")
    providers: tuple[str, ...] = Field(
        ("CPUExecutionProvider",),
        min_length=1,
        description="ONNX Runtime execution providers, best first; all must be available.",
    )
    watch_interval_s: float = Field(5.0, gt=0, description="Seconds between polls of the registry for models to serve.")
    shadow_share: float = Field(0.1, ge=0, le=1, description="Share of the requests that the shadow model scores, too.")
    shadow_waiting: int = Field(8, ge=1, description="Queue of requests for the shadow model; more are dropped.")
    provider_options: dict[str, dict[str, str]] = Field(
        {}, description='Provider options, as JSON or tables: {"CUDAExecutionProvider": {"device_id": "0"}}.'
    )
    candidate_buckets: tuple[Annotated[int, Field(ge=1)], ...] | None = Field(
        None,
        description="Numbers of candidates, ascending, to which runs of the model are padded; not set: 64 to 2048 in "
        "powers of two if the first provider is a device, no padding on the CPU.",
    )
    cuda_graph: bool = Field(
        default=False,
        description="Capture the model's runs as CUDA graphs; needs CUDAExecutionProvider and candidate_buckets.",
    )
    batch_wait_ms: float = Field(
        0.0,
        ge=0,
        description="Longest time that a request waits to be scored in a batch with others, "
        "milliseconds; 0: no batching.",
    )
    batch_requests: int = Field(8, ge=2, description="Most requests per batch.")

    @model_validator(mode="after")
    def _ascending(self) -> Self:
        buckets = self.candidate_buckets or ()
        if list(buckets) != sorted(set(buckets)):
            raise ValueError("candidate_buckets must ascend")
        return self


class ServedLogSettings(SettingsSection):
    """The log of answers and the features that they were computed from."""

    # Off by default: records hold user ids and features, so keeping them is the operator's decision.
    share: float = Field(
        0.0,
        ge=0,
        le=1,
        description="Share of the answers that are written to the topic <prefix>.ranked, drawn at random; 0: none.",
    )
    waiting: int = Field(64, ge=1, description="Queue of answers to be written, per worker process; more are dropped.")
    feature_items: int = Field(
        32, ge=0, description="First items of an answer whose features are logged: about 1 to 2 kB each."
    )
