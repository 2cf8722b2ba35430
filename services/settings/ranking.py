"""Settings of the ranking server."""

from typing import Annotated, Self

from pydantic import Field, model_validator

from services.settings.section import Section


class RankingSettings(Section):
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
