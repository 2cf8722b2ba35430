"""Names of settings and of their environment variables, and what is close to a misspelt one.

A variable that begins with CROSSREC_ and names nothing is refused: a misspelt section would silently be without effect.
"""

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from typing import Any, get_origin

from pydantic import BaseModel

from services.errors import ConfigurationError

PREFIX = "CROSSREC_"
DELIMITER = "__"

OTHER_VARIABLES = {
    "CROSSREC_CONFIG": "the settings file",
    "CROSSREC_CACHE_DIR": "where the embedded Kafka is kept",
    "CROSSREC_MODELS": "of deploy/compose.yaml",
    "CROSSREC_SETTINGS": "of deploy/compose.yaml",
    "CROSSREC_IMAGE": "of deploy/compose.yaml",
    "CROSSREC_GATEWAY": "of the example clients",
    "CROSSREC_RANKING": "of the example clients",
    "CROSSREC_TOKEN": "of the example clients",
    "CROSSREC_CA": "of the example clients",
    "CROSSREC_DEADLINE_MS": "of the example clients",
    "CROSSREC_CHROMIUM": "of the tests",
}
"""Variables that are no settings, and whose they are."""

TEST_PREFIX = "CROSSREC_TEST_"

_SERVICE_LINK = re.compile(r"CROSSREC_(\w+_)?(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT_\d+_\w+)")
"""Variables that Kubernetes makes of the services in a namespace, in every pod."""


def setting_names(table: type[Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Names, like `kafka.partitions`, and types of all settings of a class; tables included, after their settings."""
    if is_dataclass(table):
        yield from ((f"{prefix}{field.name}", field.type) for field in fields(table))
        return
    for name, field in table.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and (issubclass(kind, BaseModel) or is_dataclass(kind)):
            yield from setting_names(kind, f"{prefix}{name}.")
        yield f"{prefix}{name}", kind


def variable_of(name: str) -> str:
    """The environment variable of a setting."""
    return PREFIX + name.upper().replace(".", DELIMITER)


def nearest(name: str, known: Iterable[str]) -> str:
    """`; the nearest is ...`, or nothing if no known name is close; the prefix of variables makes none closer."""
    bare = {other.removeprefix(PREFIX): other for other in known}
    close = difflib.get_close_matches(name.removeprefix(PREFIX), bare, n=1)
    return f"; the nearest is {bare[close[0]]}" if close else ""


def check_variables(environ: Mapping[str, str], table: type[Any]) -> None:
    """Raise ConfigurationError for each variable with our prefix that is neither a setting nor known otherwise."""
    known = {variable_of(name): kind for name, kind in setting_names(table)}
    unknown = [name for name in environ if name.upper().startswith(PREFIX) and not _is_known(name, environ, known)]
    if unknown:
        lines = [f"{name}: no such setting{nearest(name.upper(), known)}" for name in sorted(unknown)]
        raise ConfigurationError(f"environment: {'; '.join(lines)} (`crossrec settings` lists all)")


def _is_known(name: str, environ: Mapping[str, str], known: Mapping[str, Any]) -> bool:
    upper = name.upper()
    if upper in known or upper in OTHER_VARIABLES or upper.startswith(TEST_PREFIX):
        return True
    # An entry of a setting that is a map, like CROSSREC_FEATURES__ENGAGEMENT__CLICK.
    parts = upper.split(DELIMITER)
    outer = (DELIMITER.join(parts[:count]) for count in range(1, len(parts)))
    if any(get_origin(known.get(name)) is dict for name in outer):
        return True
    return bool(_SERVICE_LINK.fullmatch(upper)) or (upper.endswith("_PORT") and "://" in environ[name])
