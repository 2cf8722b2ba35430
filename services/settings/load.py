"""All settings, with unit and default, from the environment and one TOML file.

Environment beats file: `CROSSREC_KAFKA__BOOTSTRAP_SERVERS=...` overrides `[kafka] bootstrap_servers`. The
file is the one that CROSSREC_CONFIG names. `crossrec settings` prints what is in force.
"""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, Field, SecretStr, ValidationError
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from services.errors import ConfigurationError
from services.features.config import FeatureConfig
from services.settings.consumers import ConsumerSettings
from services.settings.gateway import GatewaySettings
from services.settings.infrastructure import KafkaSettings, StoreSettings
from services.settings.privacy import PrivacySettings
from services.settings.ranking import RankingSettings
from services.settings.retention import RetentionSettings
from services.settings.security import SecuritySettings
from services.settings.served_log import ServedLogSettings
from services.settings.telemetry import TelemetrySettings
from services.settings.training import DatasetSettings, TrainingSettings

STARS = "****"

_LOGIN = re.compile(r"(://)[^/@]*@")
"""Name and password in a URL."""


def _text(value: object) -> object:
    return str(value) if isinstance(value, Path) else value


class Settings(BaseSettings):
    """Everything that can be set."""

    model_config = SettingsConfigDict(
        env_prefix="CROSSREC_", env_nested_delimiter="__", extra="forbid", frozen=True, hide_input_in_errors=True
    )

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
    telemetry: TelemetrySettings = TelemetrySettings()
    served_log: ServedLogSettings = ServedLogSettings()
    privacy: PrivacySettings = PrivacySettings()
    retention: RetentionSettings = RetentionSettings()
    security: SecuritySettings = SecuritySettings()
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
            yield Described(f"{prefix}{name}", shown(value), shown(default), setting.description or "")


def shown(value: object) -> object:
    """A setting's value as it may be seen: secrets are stars, within addresses too."""
    if isinstance(value, SecretStr):
        return STARS if value.get_secret_value() else ""
    return _LOGIN.sub(rf"\1{STARS}@", value) if isinstance(value, str) else value


def _arguments(docstring: str) -> dict[str, str]:
    """Name and meaning of what the Args section of a docstring lists."""
    found = re.findall(r"^ {8}(\w+): (.*(?:\n {12}.*)*)", docstring, re.MULTILINE)
    return {name: " ".join(text.split()) for name, text in found}
