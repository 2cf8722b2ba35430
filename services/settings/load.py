"""All settings, with unit and default, from the environment and one TOML file.

The environment overrides the file: `CROSSREC_KAFKA__BOOTSTRAP_SERVERS=...` overrides `[kafka] bootstrap_servers`.
CROSSREC_CONFIG names the file. `crossrec settings` prints the settings in force.
"""

import os
from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import is_dataclass, replace
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, Field, ValidationError, model_validator
from pydantic_settings import (
    BaseSettings,
    InitSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
)

from services.errors import ConfigurationError
from services.features.config import FeatureConfig
from services.settings.infrastructure import KafkaSettings, RetentionSettings, StoreSettings
from services.settings.names import check_variables
from services.settings.places import place_dataset
from services.settings.processes import (
    CONSUMED_TOPICS,
    ConsumerSettings,
    GatewaySettings,
    RankingSettings,
    ServedLogSettings,
)
from services.settings.security import PrivacySettings, SecuritySettings, TelemetrySettings
from services.settings.source import SourceSettings
from services.settings.sources import SettingsEnvironment, invalid_settings, read_settings_file, unreadable_variable
from services.settings.training import DatasetSettings, TrainingSettings

DATASET_SETTINGS = Path(__file__).resolve().parents[2] / "export" / "datasets"
"""Directory of the settings files of known data sets, `<name>.toml`."""

_DATASET_FILE: ContextVar[Path | None] = ContextVar("dataset_file", default=None)
"""The settings file of the data set being loaded: pydantic's sources take no argument."""


def _text(value: object) -> object:
    return str(value) if isinstance(value, Path) else value


class Settings(BaseSettings):
    """All settings."""

    model_config = SettingsConfigDict(
        env_prefix="CROSSREC_", env_nested_delimiter="__", extra="forbid", frozen=True, hide_input_in_errors=True
    )

    data_dir: Path = Field(Path("data"), description="Directory of data sets; all that is made of one lies below it.")
    registry_dir: Annotated[str, BeforeValidator(_text)] = Field(
        "data/registry",
        description="Model registry, <dir>/<name>/<version>/; a directory, or a URL like s3://bucket/x. Default: "
        "registry in the data set's folder, <data_dir>/<dataset.name>.",
    )
    registry_cache_dir: Path = Field(
        Path("data/registry-cache"), description="Local copies of models from a registry URL."
    )
    encoder_dir: Path = Field(
        Path("data/encoder"), description="The text encoder's directory. Default: encoder in the data set's folder."
    )
    text_encoder: str = Field(
        "auto",
        description="Sentence encoder that replay and training build it from: auto (english, or multilingual if that "
        "does not read the texts), english, multilingual, or a local Hugging Face directory.",
    )
    features: FeatureConfig = Field(FeatureConfig(), description="Parameters of the feature schema.")
    kafka: KafkaSettings = KafkaSettings()
    store: StoreSettings = StoreSettings()
    gateway: GatewaySettings = GatewaySettings()
    consumers: ConsumerSettings = ConsumerSettings()
    ranking: RankingSettings = RankingSettings()
    telemetry: TelemetrySettings = TelemetrySettings()
    served_log: ServedLogSettings = ServedLogSettings()
    privacy: PrivacySettings = PrivacySettings()
    retention: RetentionSettings = RetentionSettings()
    security: SecuritySettings = SecuritySettings()
    source: SourceSettings = SourceSettings()
    dataset: DatasetSettings = DatasetSettings()
    training: TrainingSettings = TrainingSettings()

    @model_validator(mode="before")
    @classmethod
    def _unite_rating_thresholds(cls, values: Any) -> Any:
        """A rating that makes a positive label is one that likes its item: what either setting says holds for both."""
        if not isinstance(values, Mapping):
            return values
        features, dataset = values.get("features", {}), values.get("dataset", {})
        liked_from = _part(features, "liked_from") or {}
        from_features = liked_from.get("rating") if isinstance(liked_from, Mapping) else None
        from_labels = _part(dataset, "rating_threshold")
        if from_features is None and from_labels is not None:
            features = _with_part(features, "liked_from", {**liked_from, "rating": from_labels})
        elif from_labels is None and from_features is not None:
            dataset = _with_part(dataset, "rating_threshold", from_features)
        elif from_features is not None and _differ(from_features, from_labels):
            raise ValueError(
                f"features.liked_from.rating is {from_features}, but dataset.rating_threshold {from_labels}: they are "
                "the same threshold, give one of them"
            )
        return {**values, "features": features, "dataset": dataset}

    @property
    def max_age_s(self) -> float:
        """Age of a behaviour event beyond which it is rejected, seconds."""
        return self.gateway.max_age_half_lives * self.features.half_lives_s[-1] or float("inf")

    @property
    def group_prefix(self) -> str:
        """Begins the names of consumer groups, and of what belongs to one deployment's consumers."""
        return self.consumers.group_prefix or self.store.project

    def group(self, kind: str) -> str:
        """Name of the consumer group of a kind of consumer."""
        return f"{self.group_prefix}-{kind}"

    def topic(self, kind: str) -> str:
        """Name of the topic that a kind of consumer reads."""
        return f"{self.kafka.topic_prefix}.{CONSUMED_TOPICS[kind]}"

    def group_topics(self) -> dict[str, str]:
        """Consumer group to the topic that it reads, for all kinds."""
        return {self.group(kind): self.topic(kind) for kind in CONSUMED_TOPICS}

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments, then environment, then the TOML file that CROSSREC_CONFIG names, or the data set's own."""
        del env_settings, dotenv_settings, file_secret_settings
        file = settings_file()
        tables = (InitSettingsSource(settings_cls, read_settings_file(file)),) if file else ()
        return (init_settings, SettingsEnvironment(settings_cls), *tables)


def _part(table: Any, name: str) -> Any:
    return table.get(name) if isinstance(table, Mapping) else getattr(table, name, None)


def _differ(one: Any, other: Any) -> bool:
    """Whether both are numbers, and not the same."""
    try:
        return float(one) != float(other)
    except (TypeError, ValueError):
        return False


def _with_part(table: Any, name: str, value: Any) -> Any:
    if isinstance(table, BaseModel):
        return table.model_copy(update={name: value})
    if is_dataclass(table) and not isinstance(table, type):
        return replace(table, **{name: value})
    return {**table, name: value} if isinstance(table, Mapping) else table


def settings_file() -> Path | None:
    """The settings file in force: the data set's own while one is loaded, else the one that CROSSREC_CONFIG names."""
    named = os.environ.get("CROSSREC_CONFIG")
    return _DATASET_FILE.get() or (Path(named) if named else None)


def load_settings(dataset: str = "") -> Settings:
    """The settings in force. Raises ConfigurationError naming what is wrong.

    Paths that are not set lie in the folder of the data set: the given one, or `dataset.name`, or the only one.
    Without CROSSREC_CONFIG, a known data set (Complete Journey) uses the settings file that it ships with. The
    environment is left as it is: a process that is started for the same data set gets its name, or these settings.
    """
    file = os.environ.get("CROSSREC_CONFIG")
    if file and not Path(file).is_file():
        raise ConfigurationError(f"CROSSREC_CONFIG: no file {file}")
    check_variables(os.environ, Settings)
    own = DATASET_SETTINGS / f"{dataset}.toml"
    token = _DATASET_FILE.set(own if dataset and not file and own.exists() else None)
    try:
        return place_dataset(Settings(), dataset)
    except SettingsError as error:
        raise unreadable_variable(Settings, error) from error
    except ValidationError as error:
        raise invalid_settings(Settings, error, settings_file()) from error
    finally:
        _DATASET_FILE.reset(token)
