"""What all tables of the settings file share: their base class, optional paths, and the files that settings name.

Files are read whole, with errors that name the setting; what they hold is not known here.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, SecretStr

from services.errors import ConfigurationError

OptionalPath = Annotated[Path | None, BeforeValidator(lambda value: value or None)]
"""A file, or None; an empty environment variable counts as None."""


class SettingsSection(BaseModel):
    """A table of the settings file; an unknown name is an error, so that a typo is noticed.

    Errors do not quote the value of a wrong setting: it may be a secret in the wrong place.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


def read_file(setting: str, path: Path) -> bytes:
    """The content of a setting's file. Raises ConfigurationError naming the setting."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigurationError(f"{setting}: cannot read {path}: {error.strerror}") from error


def readable_paths(table: str, settings: SettingsSection, names: Mapping[str, str]) -> dict[str, str]:
    """Paths of the files that are set, by argument name; each is read once: clients do not report which one failed."""
    found: dict[str, str] = {}
    for argument, name in names.items():
        path: Path | None = getattr(settings, name)
        if path:
            read_file(f"{table}.{name}", path)
            found[argument] = str(path)
    return found


def read_secret(setting: str, given: SecretStr, file: Path | None) -> str:
    """A secret, given by itself or by a file that holds it. Raises ConfigurationError naming the setting."""
    if file is None:
        return given.get_secret_value()
    try:
        text = read_file(setting, file).decode("utf-8-sig").rstrip("\r\n")
    except UnicodeDecodeError:
        raise ConfigurationError(f"{setting}: {file} is not UTF-8 text") from None
    if not text:
        raise ConfigurationError(f"{setting}: {file} is empty")
    return text
