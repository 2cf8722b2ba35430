"""What `crossrec settings` prints: every setting with its value, default and meaning; secrets are masked."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, fields, is_dataclass

from pydantic import BaseModel, SecretStr

from services.settings.load import Settings

STARS = "****"

_LOGIN = re.compile(r"(://)[^/@]*@")
"""User name and password in a URL."""


@dataclass(frozen=True)
class SettingDescription:
    """A setting as `crossrec settings` prints it; secrets in `value` and `default` are masked."""

    name: str
    value: object
    default: object
    meaning: str


def describe_settings(settings: Settings) -> Iterator[SettingDescription]:
    """Every setting with its value, default and meaning, units included."""
    yield from _describe_table("", settings, Settings.model_construct())


def _describe_table(prefix: str, values: BaseModel, defaults: BaseModel) -> Iterator[SettingDescription]:
    for name, setting in type(values).model_fields.items():
        value, default = getattr(values, name), getattr(defaults, name)
        if isinstance(value, BaseModel):
            yield from _describe_table(f"{prefix}{name}.", value, default)
        elif is_dataclass(value):
            docs = _argument_docs(type(value).__doc__ or "")
            for part in fields(value):
                path = f"{prefix}{name}.{part.name}"
                yield SettingDescription(path, getattr(value, part.name), getattr(default, part.name), docs[part.name])
        else:
            unset = setting.json_schema_extra if isinstance(setting.json_schema_extra, dict) else {}
            value, default = (unset.get("unset") if each is None else mask_secret(each) for each in (value, default))
            yield SettingDescription(f"{prefix}{name}", value, default, setting.description or "")


def mask_secret(value: object) -> object:
    """A setting's value with its secret replaced by stars, within URLs too; other values as they are."""
    if isinstance(value, SecretStr):
        return STARS if value.get_secret_value() else ""
    return _LOGIN.sub(rf"\1{STARS}@", value) if isinstance(value, str) else value


def _argument_docs(docstring: str) -> dict[str, str]:
    """The arguments that the Args section of a docstring lists, with their meanings."""
    found = re.findall(r"^ {8}(\w+): (.*(?:\n {12}.*)*)", docstring, re.MULTILINE)
    return {name: " ".join(text.split()) for name, text in found}
