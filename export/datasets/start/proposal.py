"""Proposes how files become a data set: which file is what, and settings for labels, splits, half-lives, attributes.

Pure, on profiles: `write.py` makes a settings file of the proposal.
"""

import numpy as np
import pyarrow as pa

from export.datasets.check.half_lives import propose_half_lives, sample_ages
from export.datasets.errors import DatasetError
from export.datasets.start.files import describe_wide, describing_file, event_files
from export.datasets.start.labels import propose_labels
from export.datasets.start.names import (
    AGE_BOUNDS,
    GROUP_NAMES,
    ITEM,
    SPLIT_WORDS,
    USER,
    plain,
    word_of,
)
from export.datasets.start.profile import ColumnProfile, FileProfile
from export.datasets.start.proposed import Columns, Proposal, ProposedFile
from export.datasets.start.roles import EventRoles, find_event_roles, key_codes
from export.datasets.times import TimeParser
from services.settings.source import SourceSettings


def propose(files: list[FileProfile], given: dict[str, tuple[str, ...]]) -> Proposal:
    """A proposal for files of one data set; roles `given` are taken as they are. DatasetError if none has events."""
    main, parts = event_files(files, given)
    roles = find_event_roles(main, given)
    missing = [what for role, what in ((USER, "who acted"), (ITEM, "on what")) if role not in roles.columns]
    if missing:
        raise DatasetError(
            f"{main.path.name}: no column says {' and '.join(missing)}; its columns are {', '.join(main.columns)}; "
            "say which: --map user_id=COLUMN --map item_id=COLUMN"
        )
    proposal = Proposal([], notes=list(roles.notes))
    events = [ProposedFile(part, "events") for part in parts]
    proposal.files += events
    free = describe_wide(main, roles, events, proposal)
    for file in files:
        if file not in parts:
            proposal.files.append(describing_file(file, main, roles, proposal))
    _propose_scenario(main, roles, proposal)
    labels = propose_labels(main, roles)
    if labels.values.get("type", ("",))[0] == "purchase" and "value" not in roles.columns:
        prices = [file.tables["items"]["price"][0] for file in events if "price" in file.tables.get("items", {})]
        roles.columns |= {"value": prices[0]} if prices else {}
    proposal.dataset |= labels.dataset
    proposal.source |= labels.source
    proposal.features |= labels.features
    proposal.notes += labels.notes
    for event in events:
        event.values |= labels.values
        context = event.tables.pop("events", {})
        event.tables = {"events": {**_event_columns(main, roles), **context}, **event.tables}
        event.unused = free
    _propose_split(events, roles, main, proposal)
    _propose_times(main, roles, proposal)
    return proposal


def _event_columns(file: FileProfile, roles: EventRoles) -> Columns:
    found = {}
    for role, names in roles.columns.items():
        distinct = len(np.unique(key_codes(file, names)))
        examples = ", ".join(file.columns[names[0]].examples)
        why = f"{distinct:,} different" if role.endswith("_id") else f"for example {examples}"
        found[role] = (names, why)
    return found


def _propose_scenario(main: FileProfile, roles: EventRoles, proposal: Proposal) -> None:
    column = roles.column("scenario_id", main)
    if column:
        shown = ", ".join(sorted(column.words)[:8])
        proposal.notes.append(f"scenarios are the {column.distinct} values of {column.name}: {shown}")
        return
    group = _group_column(proposal)
    if not group:
        for file in proposal.files:
            if file.role == "events":
                file.values["scenario_id"] = ("all", "no column is a scenario: all events are in one")
        proposal.notes.append("no column is a scenario, like a device or a channel: all events are in one, called all")
        return
    proposal.source["scenario_of_user"] = (group.name, "no column of the events is a scenario: users are grouped")
    if group.kind in {"integer", "number"}:
        ages = plain(group.name) == "age"
        thirds = tuple(float(value) for value in np.unique(np.quantile(group.numbers, [1 / 3, 2 / 3]).round(2)))
        proposal.source["scenario_bounds"] = (AGE_BOUNDS if ages else thirds, "where the groups are cut")
    proposal.notes.append(f"scenarios are groups of users by {group.name}, since no column of the events is one")


def _group_column(proposal: Proposal) -> ColumnProfile | None:
    """The column of users that groups them best, by its name."""
    found: list[tuple[int, ColumnProfile]] = []
    for file in proposal.files:
        names = {names[0] for names, _ in file.tables.get("users", {}).values() if len(names) == 1}
        for name in names:
            column, bare = file.profile.columns[name], plain(name)
            few = column.kind == "text" and 2 <= column.distinct <= 8
            numbers = column.kind in {"integer", "number"} and bare == "age"
            if bare in GROUP_NAMES and (few or numbers) and not column.missing:
                found.append((GROUP_NAMES.index(bare), column))
    return min(found, key=lambda pair: pair[0])[1] if found else None


def _propose_split(events: list[ProposedFile], roles: EventRoles, main: FileProfile, proposal: Proposal) -> None:
    parts = {part.profile.path.stem: named_in_parts(part.profile.path.stem) for part in events}
    if len(events) > 1 and all(parts.values()):
        for part in events:
            part.values["split"] = (parts[part.profile.path.stem], "from the name of the file")
        return
    if roles.column("split", main):
        return
    if roles.unit != "order":
        proposal.dataset["split"] = ("time", "the latest rows are tested on, the ones before validate")
        return
    if "time" in roles.columns:
        proposal.dataset["split"] = ("user_time", "each user's last rows are tested on, the ones before validate")
    else:
        proposal.dataset["split"] = ("random", "there are no times to split by")


def named_in_parts(stem: str) -> str | None:
    """The split that a file's name says."""
    words = [word_of(part, SPLIT_WORDS) for part in stem.replace("-", "_").replace(".", "_").split("_")]
    return next((word for word in words if word), None) or word_of(stem, SPLIT_WORDS)


def _propose_times(main: FileProfile, roles: EventRoles, proposal: Proposal) -> None:
    """Units, zones, formats, and half-lives by the ages of history."""
    column = roles.column("time", main)
    form = SourceSettings(time_unit=roles.unit, time_zone="UTC", time_format=column.time_format if column else "")
    if roles.unit == "order":
        why = "its numbers only order the events" if column else "there are no times: the rows are in order"
        proposal.source["time_unit"] = ("order", f"{why}; a second each from 2000 on")
    elif column and not column.zoned:
        proposal.source["time_zone"] = ("UTC", "the times have no zone: this one is a guess")
        proposal.notes.append(f"{column.name} has no time zone: UTC is taken")
    if column and column.time_format:
        proposal.source["time_format"] = (column.time_format, f"how {column.name} is written")
    if main.encoding != "utf-8":
        proposal.source["encoding"] = (main.encoding, "the file is not UTF-8: this one is a guess")
    times = TimeParser(form).parse_array(column.values, from_text=True) if column else None
    ms = 1000 * np.arange(main.rows) if times is None else np.asarray(times.cast(pa.int64()).fill_null(0).to_numpy())
    user, item = (key_codes(main, roles.columns[role]).astype(np.int64) for role in (USER, ITEM))
    lives = propose_half_lives(sample_ages(user, item, ms.astype(np.int64)))
    if lives:
        proposal.half_lives = (lives, "seconds; from how long ago users and items were active before")
