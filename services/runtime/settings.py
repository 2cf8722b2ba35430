"""All settings, with unit and default, from the environment and one TOML file.

Environment beats file: `CROSSREC_KAFKA__BOOTSTRAP_SERVERS=...` overrides `[kafka] bootstrap_servers`. The
file is the one that CROSSREC_CONFIG names. `crossrec settings` prints what is in force.
"""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from services.features.config import FeatureConfig
from services.runtime.errors import ConfigurationError


class Section(BaseModel):
    """A table of the settings file; unknown names are errors, not typos that pass silently."""

    model_config = ConfigDict(extra="forbid", frozen=True)


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
        description="Where the workers' supervisor serves /metrics (Prometheus), /live and /ready over HTTP, like "
        "127.0.0.1:9102; empty: nowhere.",
    )
    max_workers: int = Field(4, ge=1, description="Requests that a worker process ranks at once.")
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


class DatasetSettings(Section):
    """Labels, negatives and splits of own data that brings none; what the data itself says wins."""

    label_events: tuple[Literal["click", "add_to_cart", "purchase", "rating", "comment"], ...] = Field(
        (), description="Event types that make a positive; empty: no labels are made."
    )
    rating_threshold: float | None = Field(
        None, description="A rating of at least this is positive; needed where label_events names rating."
    )
    label_window_s: float = Field(
        3600.0, gt=0, description="Seconds after an impression, or a first touch, in which an engagement counts for it."
    )
    negatives: Literal["shown", "sampled"] = Field(
        "shown", description="shown: impressions without engagement, or low ratings; sampled: drawn from the catalogue."
    )
    negatives_per_positive: int = Field(4, ge=1, description="Negatives drawn per positive where they are sampled.")
    negative_sampling: Literal["uniform", "popularity"] = Field(
        "uniform", description="Draw from all items there were, or as often as they had been engaged with till then."
    )
    split: Literal["time", "user"] = Field("time", description="Split labelled rows by time, or by a hash of the user.")
    train_share: float = Field(0.8, gt=0, lt=1, description="Share of labelled rows, or users, to train on.")
    validation_share: float = Field(0.1, gt=0, lt=1, description="The share after that; what is left is for testing.")
    validation_from: AwareDatetime | None = Field(
        None, description="Time split: first moment of validation, with time zone, instead of the shares."
    )
    test_from: AwareDatetime | None = Field(None, description="Time split: first moment of the test rows.")
    seed: int = Field(0, ge=0, description="Seed of sampled negatives and of the user split.")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if "rating" in self.label_events and self.rating_threshold is None:
            raise ValueError("rating_threshold is missing, but label_events names rating")
        if self.train_share + self.validation_share >= 1:
            raise ValueError("train_share and validation_share leave nothing to test on")
        if (self.validation_from is None) != (self.test_from is None):
            raise ValueError("validation_from and test_from go together")
        if self.validation_from and self.test_from and self.validation_from >= self.test_from:
            raise ValueError("test_from must be later than validation_from")
        if self.split == "user" and self.validation_from:
            raise ValueError("validation_from and test_from need split = time")
        return self


class TrainingSettings(Section):
    """How models are trained; what is not set is each kind's own choice."""

    device: str | None = Field(None, description="PyTorch device, like cpu or cuda; default cpu.")
    epochs: int | None = Field(None, ge=1, description="Most passes over the training rows.")
    patience: int | None = Field(None, ge=1, description="Passes without a better validation AUC until it stops.")
    batch_rows: int | None = Field(None, ge=1, description="Rows per step.")
    buffer_rows: int | None = Field(None, ge=1, description="Rows in memory among which users are shuffled.")
    learning_rate: float | None = Field(None, gt=0, description="Adam's at the start, or LightGBM's shrinkage.")
    weight_decay: float | None = Field(None, ge=0, description="AdamW's decoupled decay.")
    mask_history: float | None = Field(None, ge=0, lt=1, description="Share of source histories hidden in training.")
    weigh_by_transfer: str | None = Field(None, description="Scarce scenario by whose weights other rows count.")
    neighbour_label: float | None = Field(None, ge=0, lt=1, description="Label of negatives that read like positives.")
    threads: int | None = Field(None, ge=0, description="Threads of LightGBM; 0: all cores.")


def _text(value: object) -> object:
    return str(value) if isinstance(value, Path) else value


class Settings(BaseSettings):
    """Everything that can be set."""

    model_config = SettingsConfigDict(env_prefix="CROSSREC_", env_nested_delimiter="__", extra="forbid", frozen=True)

    data_dir: Path = Field(Path("data"), description="Where imported data, training rows and models live.")
    registry_dir: Annotated[str, BeforeValidator(_text)] = Field(
        "data/registry",
        description="Model registry, <dir>/<name>/<version>/; a directory, or a URL like s3://bucket/x.",
    )
    registry_cache_dir: Path = Field(Path("data/registry-cache"), description="Copies of models that a URL leads to.")
    encoder_dir: Path = Field(Path("data/encoder"), description="The text encoder's directory.")
    features: FeatureConfig = Field(FeatureConfig(), description="Choices behind the feature schema.")
    kafka: KafkaSettings = KafkaSettings()
    store: StoreSettings = StoreSettings()
    gateway: GatewaySettings = GatewaySettings()
    consumers: ConsumerSettings = ConsumerSettings()
    ranking: RankingSettings = RankingSettings()
    dataset: DatasetSettings = DatasetSettings()
    training: TrainingSettings = TrainingSettings()

    @property
    def max_age_s(self) -> float:
        """Age of a behaviour event beyond which it is rejected, seconds."""
        return self.gateway.max_age_half_lives * self.features.half_lives_s[-1] or float("inf")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments, then environment, then the TOML file named by CROSSREC_CONFIG."""
        del dotenv_settings, file_secret_settings
        file = os.environ.get("CROSSREC_CONFIG")
        toml = TomlConfigSettingsSource(settings_cls, Path(file)) if file else None
        return (init_settings, env_settings, *((toml,) if toml else ()))


DATASET_SETTINGS = Path(__file__).resolve().parents[2] / "export" / "datasets"
"""Where settings files of known data sets lie, as `<name>.toml`."""


def load_settings(dataset: str = "") -> Settings:
    """The settings in force; ConfigurationError naming what is wrong.

    Without CROSSREC_CONFIG, a data set with a settings file of its own (Complete Journey) brings it along.
    """
    own = DATASET_SETTINGS / f"{dataset}.toml"
    if dataset and "CROSSREC_CONFIG" not in os.environ and own.exists():
        os.environ["CROSSREC_CONFIG"] = str(own)
    file = os.environ.get("CROSSREC_CONFIG")
    if file and not Path(file).is_file():
        raise ConfigurationError(f"CROSSREC_CONFIG: no file {file}")
    try:
        return Settings()
    except ValidationError as error:
        lines = [f"{'.'.join(str(part) for part in e['loc'])}: {e['msg']}" for e in error.errors()]
        raise ConfigurationError("settings: " + "; ".join(lines)) from error


@dataclass(frozen=True)
class Described:
    """A setting as people read it."""

    name: str
    value: object
    default: object
    meaning: str


def described(settings: Settings) -> Iterator[Described]:
    """Every setting with its value, default, unit and meaning."""
    yield from _described("", settings, Settings.model_construct())


def _described(prefix: str, values: BaseModel, defaults: BaseModel) -> Iterator[Described]:
    for name, setting in type(values).model_fields.items():
        value, default = getattr(values, name), getattr(defaults, name)
        if isinstance(value, BaseModel):
            yield from _described(f"{prefix}{name}.", value, default)
        elif is_dataclass(value):
            meanings = _arguments(type(value).__doc__ or "")
            for part in fields(value):
                path = f"{prefix}{name}.{part.name}"
                yield Described(path, getattr(value, part.name), getattr(default, part.name), meanings[part.name])
        else:
            yield Described(f"{prefix}{name}", value, default, setting.description or "")


def _arguments(docstring: str) -> dict[str, str]:
    """Name and meaning of what the Args section of a docstring lists."""
    found = re.findall(r"^ {8}(\w+): (.*(?:\n {12}.*)*)", docstring, re.MULTILINE)
    return {name: " ".join(text.split()) for name, text in found}
