"""Scenarios of own files that have none: groups of users, or of the numbers of a column.

Knows the settings' `[source]` section; the groups are named after the column and its bounds.
"""

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from export.datasets.columns import ColumnConverter, Report
from export.datasets.errors import DatasetError, Problem
from export.datasets.file_batches import Cells, Locate, open_batches
from export.datasets.raw_tables import RawTable, cell_values, joined_cells
from export.datasets.tables import SCENARIOS, TIME, USERS, from_columns, replace_column
from export.datasets.times import TimeParser
from services.settings.source import SourceSettings


def make_scenarios(form: SourceSettings, events: RawTable, problems: list[Problem]) -> RawTable:
    """Events with the groups of their users, or of their scenario column, as scenarios."""
    table = events.table
    if form.scenario_of_user:
        groups = _user_groups(form, problems)
        at = pc.index_in(table["user_id"], value_set=pa.array(list(groups), pa.string()))
        found = pa.array(list(groups.values()), pa.string()).take(at.combine_chunks())
        unknown = pc.and_(found.is_null(), table["user_id"].combine_chunks().is_valid())
        for row in np.flatnonzero(unknown.to_numpy(zero_copy_only=False))[:20].tolist():
            reason = f"no file says {form.scenario_of_user} of user {table['user_id'][row].as_py()!r}"
            problems.append(Problem(events.place(row), "scenario_id", reason))
    else:
        found = table["scenario_id"].combine_chunks()
    if form.scenario_bounds:
        found = _cut(found, form, events, problems)
    return replace(events, table=replace_column(table, "scenario_id", found))


def _user_groups(form: SourceSettings, problems: list[Problem]) -> dict[str, str]:
    """The value of the users' column, as text, by user; users without one have no group."""
    groups: dict[str, str] = {}
    there = False
    for file in form.files:
        names = file.users.get("user_id") or file.events.get("user_id")
        if not names:
            continue
        read = open_batches(Path(file.path), form, [])
        ids = ColumnConverter(USERS.column("user_id"), TimeParser(form), read.separator, from_text=True)
        for batch in read.batches:
            if form.scenario_of_user not in batch.columns or any(name not in batch.columns for name in names):
                break
            there = True

            def report(row: int, reason: str, locate: Locate = read.locate, first: int = batch.first) -> None:
                problems.append(Problem(locate(first + row), form.scenario_of_user, reason))

            users = ids.convert(joined_cells(batch, names, report), report).to_pylist()
            values = ids.convert(_texts(batch.columns[form.scenario_of_user], report), report).to_pylist()
            for user, value in zip(users, values, strict=True):
                if user is not None and value is not None:
                    groups.setdefault(user, value)
    if not there:
        raise DatasetError(f"source.scenario_of_user: no file of users has a column {form.scenario_of_user}")
    return groups


def _texts(cells: Cells, report: Report) -> pa.Array:
    """The cells as texts; whole numbers have no point."""
    values = cell_values(cells, report)
    whole = (int(v) if isinstance(v, float) and v.is_integer() else v for v in values)
    return pa.array([None if value is None else str(value) for value in whole], pa.string())


def _cut(found: pa.Array, form: SourceSettings, events: RawTable, problems: list[Problem]) -> pa.Array:
    """Numbers as the names of the groups between the bounds."""
    names = group_names(_scenario_column(form), form.scenario_bounds)
    groups: list[str | None] = []
    for row, text in enumerate(found.to_pylist()):
        try:
            groups.append(names[int(np.searchsorted(form.scenario_bounds, float(text), side="right"))])
        except (TypeError, ValueError):
            problems.append(Problem(events.place(row), "scenario_id", f"{text!r} is not a number to cut into groups"))
            groups.append(None)
    return pa.array(groups, pa.string())


def group_names(column: str, bounds: Sequence[float]) -> list[str]:
    """Names of the groups between the bounds: `age under 25`, `age 25 to 35`, `age 35 and more`."""
    texts = [f"{bound:g}" for bound in bounds]
    between = [f"{column} {low} to below {high}" for low, high in pairwise(texts)]
    return [f"{column} under {texts[0]}", *between, f"{column} {texts[-1]} and more"]


def _scenario_column(form: SourceSettings) -> str:
    """What the files call the scenario."""
    if form.scenario_of_user:
        return form.scenario_of_user
    columns = [file.events["scenario_id"] for file in form.files if "scenario_id" in file.events]
    return " ".join(columns[0]) if columns else ""


def describe_scenarios(form: SourceSettings, given: RawTable, events: RawTable) -> RawTable:
    """The scenarios table, with a name and a description of each scenario that no file describes."""
    column = _scenario_column(form)
    used = pc.unique(events.table["scenario_id"].drop_null())
    known = set(given.table["scenario_id"].to_pylist())
    new = [name for name in used.to_pylist() if name and name not in known]
    if not new or not column:
        return given
    texts = [name if name.startswith(column) else f"{column}: {name}" for name in new]
    words = [text.replace("_", " ") for text in texts]
    columns = {"scenario_id": new, "name": new, "description": words, "time": pa.nulls(len(new), TIME)}
    table = pa.concat_tables([given.table, from_columns(SCENARIOS, columns, len(new))])
    return replace(given, table=table, files=[*given.files, (len(given.table), lambda row: f"scenario {new[row]}")])
