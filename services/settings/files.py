"""Files that settings name: read whole, with errors that name the setting. Knows nothing of what they hold."""

from collections.abc import Mapping
from pathlib import Path

from pydantic import SecretStr

from services.errors import ConfigurationError
from services.settings.section import Section


def read_file(setting: str, path: Path) -> bytes:
    """The content of a setting's file. Raises ConfigurationError naming the setting."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigurationError(f"{setting}: cannot read {path}: {error.strerror}") from error


def file_arguments(table: str, settings: Section, names: Mapping[str, str]) -> dict[str, str]:
    """Paths by argument of the settings' files that are set; each is tried, for clients only say that they failed."""
    found: dict[str, str] = {}
    for argument, name in names.items():
        path: Path | None = getattr(settings, name)
        if path:
            read_file(f"{table}.{name}", path)
            found[argument] = str(path)
    return found


def secret_of(setting: str, given: SecretStr, file: Path | None) -> str:
    """A secret given itself or by a file that holds it. Raises ConfigurationError naming the setting."""
    if file is None:
        return given.get_secret_value()
    try:
        text = read_file(setting, file).decode().rstrip("\r\n")
    except UnicodeDecodeError:
        raise ConfigurationError(f"{setting}: {file} is no UTF-8 text") from None
    if not text:
        raise ConfigurationError(f"{setting}: {file} is empty")
    return text
