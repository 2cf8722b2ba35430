"""Writes a proposal as a settings file with a comment per line.

Knows TOML; knows nothing of how the proposal was made.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from export.datasets.check.half_lives import toml_line
from export.datasets.errors import writing
from export.datasets.start.proposed import Proposal, ProposedFile, Setting

HEAD = """\
# Settings of this data set, proposed by `crossrec data start` from what the files hold. Every line may be changed;
# `crossrec settings` lists all settings. Use it with
#   export CROSSREC_CONFIG={path}
"""

TABLE_MEANINGS = {
    "events": "who acted on what, and when",
    "items": "what items are",
    "users": "who users are",
}

WIDTH = 44


def settings_text(proposal: Proposal, path: Path) -> str:
    """The settings file; paths of files are relative to where it stands."""
    lines = [HEAD.format(path=path.absolute())]
    if proposal.notes:
        lines += ["# Guesses to look at:", *(f"# - {note}" for note in proposal.notes), ""]
    lines += ["[source]", *_settings(proposal.source), ""]
    for file in proposal.files:
        if file.tables:
            lines += [*_file_lines(file, path.parent), ""]
    lines += ["[dataset]", *_settings(proposal.dataset), ""]
    lines += [*_feature_lines(proposal)]
    lines += ["[gateway]", _line("max_age_half_lives", 0, "history is as old as it is: no event is too old")]
    return "\n".join(lines) + "\n"


def write_settings(text: str, path: Path) -> None:
    """Write the file. DatasetError if it cannot be written."""
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def _settings(settings: dict[str, Setting]) -> Iterator[str]:
    for name, (value, why) in settings.items():
        yield _line(name, value, why)


def _line(name: str, value: Any, why: str) -> str:
    given = f"{name} = {toml_value(value)}"
    return f"{given:<{WIDTH}} # {why}" if why else given


def _file_lines(file: ProposedFile, at: Path) -> Iterator[str]:
    yield "[[source.files]]"
    yield _line("path", _relative(file.profile.path, at), f"{file.profile.rows:,} rows")
    if file.unused:
        yield f"# not used: {', '.join(file.unused)}"
    for table, columns in file.tables.items():
        if not columns:
            continue
        yield f"[source.files.{table}] # {TABLE_MEANINGS[table]}: our column = column of the file"
        for target, (names, why) in columns.items():
            yield _line(_key(target), names[0] if len(names) == 1 else list(names), why)
    if file.values:
        yield "[source.files.values] # the same for all rows"
        yield from _settings(file.values)


def _key(target: str) -> str:
    """A dotted name as TOML reads it."""
    table, dot, entry = target.partition(".")
    bare = re.fullmatch(r"[A-Za-z0-9_-]+", entry)
    return f"{table}.{json.dumps(entry, ensure_ascii=False)}" if dot and not bare else target


def _relative(path: Path, at: Path) -> str:
    """The path from the settings file, or the whole one where there is none."""
    whole = path.absolute()
    try:
        return str(whole.relative_to(at.absolute()))
    except ValueError:
        return str(whole)


def _feature_lines(proposal: Proposal) -> Iterator[str]:
    yield "[features]"
    if proposal.half_lives:
        lives, why = proposal.half_lives
        yield f"{toml_line(lives):<{WIDTH}} # {why}"
    yield from _settings(proposal.features)
    yield ""
    for entity, attribute in proposal.attributes:
        yield "[[features.attributes]]"
        yield _line("name", attribute.name, attribute.why)
        yield _line("entity", entity, f"column {attribute.column}")
        if attribute.kind != "number":
            yield _line("kind", attribute.kind, "words, not numbers")
        if attribute.values:
            yield _line("values", list(attribute.values), "")
        if attribute.buckets:
            yield _line("buckets", attribute.buckets, "words are hashed into so many columns")
        if attribute.transform != "identity":
            yield _line("transform", attribute.transform, "the model reads the logarithm")
        yield ""


def toml_value(value: Any) -> str:
    """A value as TOML."""
    if isinstance(value, dict):
        return (
            "{ " + ", ".join(f"{json.dumps(k, ensure_ascii=False)} = {toml_value(v)}" for k, v in value.items()) + " }"
        )
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(toml_value, value))}]"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    return str(value).lower() if isinstance(value, bool) else repr(value)
