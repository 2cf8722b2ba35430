"""Reads the settings file and the environment, with errors that name file or variable, what was found and expected.

Knows nothing of what the settings mean. Values are never shown unless they are numbers: one may be a secret in the
wrong place.
"""

import json
import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import is_dataclass
from pathlib import Path
from types import UnionType
from typing import Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_settings import EnvSettingsSource

from services.errors import ConfigurationError
from services.settings.names import OTHER_VARIABLES, PREFIX, nearest, setting_names, variable_of

_SHOWN = re.compile(r"[-+]?[0-9.]{1,20}|true|false", re.IGNORECASE)


LIST, MAP = 'JSON like ["a", "b"] or [1, 2]', 'JSON like {"a": "b"}'


class SettingsEnvironment(EnvSettingsSource):
    """The environment without variables of other programs, whose names would be tables of the settings."""

    def _load_env_vars(self) -> Mapping[str, str | None]:
        others = {name.lower() for name in OTHER_VARIABLES}
        return {name: value for name, value in super()._load_env_vars().items() if name not in others}


def read_settings_file(path: Path) -> dict[str, Any]:
    """The tables of a TOML file in UTF-8, with or without a byte order mark. Raises ConfigurationError naming it."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ConfigurationError(f"settings file {path}: {error.strerror}") from error
    try:
        return tomllib.loads(data.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        found = f"byte 0x{data[error.start]:02x} in line {line}"
        raise ConfigurationError(f"settings file {path}: {found} is not UTF-8; save the file as UTF-8") from None
    except (ValueError, RecursionError) as error:
        reason = "nested too deeply" if isinstance(error, RecursionError) else error
        raise ConfigurationError(f"settings file {path}: is not TOML: {reason}") from None


def unreadable_variable(table: type[Any], error: Exception) -> ConfigurationError:
    """The error for a variable of a list or a map that is not JSON."""
    kinds = {variable_of(name): kind for name, kind in setting_names(table)}
    wrong = [name for name in os.environ if _is_structured(kinds.get(name.upper())) and not _is_json(os.environ[name])]
    if not wrong:
        return ConfigurationError(f"environment: {error}")
    expected = MAP if get_origin(kinds[wrong[0].upper()]) in {dict, None} else LIST
    found = _describe(os.environ[wrong[0]])
    return ConfigurationError(f"{wrong[0]}: found {found}, which is not JSON; expected {expected}")


def _is_structured(kind: Any) -> bool:
    """Whether the environment gives a setting of this type as JSON."""
    if get_origin(kind) in {Union, UnionType}:
        return any(map(_is_structured, get_args(kind)))
    table = isinstance(kind, type) and (issubclass(kind, BaseModel) or is_dataclass(kind))
    return get_origin(kind) in {list, tuple, dict} or table


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def invalid_settings(table: type[Any], error: ValidationError, file: Path | None) -> ConfigurationError:
    """The error for values that settings do not accept: each setting, the reason, what was found, and where."""
    known = dict(setting_names(table))
    return ConfigurationError("settings: " + "; ".join(_describe_error(e, known, file) for e in error.errors()))


def _describe_error(error: Any, known: Mapping[str, Any], file: Path | None) -> str:
    name = ".".join(str(part) for part in error["loc"])
    if error["type"] in {"extra_forbidden", "unexpected_keyword_argument"}:
        return f"{name}: no such setting{nearest(name, known)}{_origin(name, file)}"
    reason = error["msg"].removeprefix("Value error, ")
    if isinstance(error["input"], str):  # of a variable
        reason += {"tuple_type": f"; expected {LIST}", "dict_type": f"; expected {MAP}"}.get(error["type"], "")
    found = "" if isinstance(error["input"], dict) else f", found {_describe(error['input'])}"
    return f"{name and f'{name}: '}{reason}{found}{_origin(name, file)}"


def _origin(name: str, file: Path | None) -> str:
    variable = variable_of(name)
    given = next((found for found in os.environ if found.upper() == variable), None)
    if given is None and any(found.upper().startswith(f"{PREFIX}{name.upper()}__") for found in os.environ):
        given = "the environment"
    return f" (from {given or file})" if given or file else ""


def _describe(value: object) -> str:
    """What was given, without its text unless it is a number."""
    text = str(value)
    if isinstance(value, bool | int | float) or (isinstance(value, str) and _SHOWN.fullmatch(text)):
        return text[:20]
    if isinstance(value, str):
        return f"text of {len(text)} characters" if text else "an empty text"
    return "a list" if isinstance(value, list | tuple) else f"a {type(value).__name__}"
