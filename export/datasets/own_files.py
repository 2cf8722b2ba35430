"""Reads the files that the settings list, each with the columns that it has for each table.

A file may hold events and describe their items and users. Knows how events are made of labels, and one row of an item
of many; scenario_groups.py makes scenarios. Knows nothing of formats.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from export.datasets.errors import DatasetError, Problem
from export.datasets.mapping import ColumnMap
from export.datasets.raw_tables import RawTable, TableFile, read_files
from export.datasets.scenario_groups import describe_scenarios, make_scenarios
from export.datasets.tables import EVENTS, REQUEST_COLUMNS, SCENARIOS, TableSpec, from_columns, replace_column
from export.datasets.times import ORDER_ORIGIN_MS
from services.settings.source import SourceSettings

KEYS = {"items": ("item_id", "scenario_id"), "users": ("user_id",), "scenarios": ("scenario_id",)}
"""What a row of a table describes; a file may repeat it in every event."""

KEPT = ("user_id", "scenario_id", "item_id", "request_id", *REQUEST_COLUMNS)
"""Columns that an event has in common with the labelled row that it follows."""

MADE_TIMES = "the files have no times: made ones, a second apart, keep the order of the rows"


def read_own_files(form: SourceSettings, specs: Sequence[TableSpec], problems: list[Problem]) -> dict[str, RawTable]:
    """The tables from the files of the settings; problems of single cells are added to `problems`.

    Raises DatasetError for a file that is not there, or of which nothing is used.
    """
    for file in form.files:
        if not Path(file.path).is_file():
            raise DatasetError(f"source.files: {file.path} is not a file")
    raw = {spec.name: _read_table(form, spec, problems) for spec in specs}
    if not raw[EVENTS.name].files:
        raise DatasetError("source.files: no file has events: give one a table events, with its columns")
    if problems:
        return raw
    raw[EVENTS.name] = make_scenarios(form, _with_times(form, raw[EVENTS.name]), problems)
    if not problems:
        raw[SCENARIOS.name] = describe_scenarios(form, raw[SCENARIOS.name], raw[EVENTS.name])
        if form.positive_event:
            raw[EVENTS.name] = _with_positive_events(raw[EVENTS.name], form.positive_event)
    return raw


def _read_table(form: SourceSettings, spec: TableSpec, problems: list[Problem]) -> RawTable:
    files = []
    for file in form.files:
        columns = getattr(file, spec.name, {})
        if columns:
            later = {"scenario_id": "-"} if form.scenario_of_user else {}
            values = {**later, **form.values, **file.values} if spec is EVENTS else {}
            files.append(TableFile(Path(file.path), ColumnMap(columns, values, complete=True)))
    raw = read_files(spec, files, problems, form)
    if spec is EVENTS and "" in form.types.values():
        return _without_rows(raw, pc.equal(raw.table["type"], ""))
    timed = any("time" in file.map.columns for file in files)
    return raw if spec.name not in KEYS or timed else _keep_first(raw, KEYS[spec.name])


def _keep_first(raw: RawTable, keys: tuple[str, ...]) -> RawTable:
    """The first row of each key; rows without one are left out. A note says where rows of a key differ."""
    table = raw.table
    number = pa.array(np.arange(len(table)))
    there = table.append_column("row", number).filter(table[keys[0]].is_valid())
    first = there.group_by(list(keys)).aggregate([("row", "min")])["row_min"].to_numpy()
    return _rows(raw, np.sort(first))


def _without_rows(raw: RawTable, left_out: pa.ChunkedArray) -> RawTable:
    """The table without some rows, whose number is noted."""
    kept = _rows(raw, np.flatnonzero(~pc.fill_null(left_out, False).to_numpy(zero_copy_only=False)))
    note = f"{len(raw.table) - len(kept.table)} events are left out, as source.types says"
    return replace(kept, notes=[*kept.notes, note])


def _rows(raw: RawTable, rows: np.ndarray) -> RawTable:
    """Some rows of the table, with their places."""
    if len(rows) == len(raw.table):
        return raw
    whole = raw.place
    return RawTable(raw.spec, raw.table.take(pa.array(rows)), [(0, lambda row: whole(int(rows[row])))], raw.notes)


def _with_times(form: SourceSettings, events: RawTable) -> RawTable:
    """Made times that keep the order of the rows, where there are none and the settings say so."""
    if form.time_unit != "order" or events.table["time"].null_count < len(events.table):
        return events
    times = pa.array(ORDER_ORIGIN_MS + 1000 * np.arange(len(events.table))).cast(EVENTS.column("time").type)
    return replace(events, table=replace_column(events.table, "time", times), notes=[*events.notes, MADE_TIMES])


def _with_positive_events(events: RawTable, kind: str) -> RawTable:
    """And an event of this type a millisecond after each row with label 1."""
    table = events.table
    rows = np.flatnonzero(pc.fill_null(pc.equal(table["label"], 1), False).to_numpy(zero_copy_only=False))
    if not len(rows):
        return events
    own = table.take(pa.array(rows))
    later = pc.add(own["time"], pa.scalar(1, pa.duration("ms")))
    columns = {
        name: own[name]
        for name in own.column_names
        if name in {"user_id", "scenario_id", "item_id", "request_id", *REQUEST_COLUMNS}
    }
    made = from_columns(
        EVENTS,
        {**columns, "event_id": pa.nulls(len(rows), pa.string()), "type": [kind] * len(rows), "time": later},
        len(rows),
    )
    place = (len(table), lambda row: events.place(int(rows[row])))
    note = f"{len(rows)} rows have label 1: each is followed by a {kind}, a millisecond later"
    return replace(
        events, table=pa.concat_tables([table, made]), files=[*events.files, place], notes=[*events.notes, note]
    )
