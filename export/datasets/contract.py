"""The rules of the events contract for the three tables, by column: what the gateway refuses, no data set may hold.

Lengths, characters and bounds are those of `services.events.checks`; here they are checked by the column. Rows are
counted from 0. Not checked: the age of an event, which history has, and whether attributes are declared, which the
settings decide later. Ids of candidates are not ids of events.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from export.datasets.errors import Problem
from services.events import checks as contract
from services.features.attribute_rules import find_values_fault
from services.features.attributes import SLOTS, find_value_fault
from services.features.event_types import select_event_types
from services.features.ids import MAX_STORED_ID_BYTES, find_id_fault, find_length_fault
from services.features.times import describe_future

Fault = Callable[[Any], str | None]
"""Why a value breaks the contract, or None."""

WITH_VALUE = select_event_types(needs_value=True)


@dataclass(frozen=True)
class ColumnRule:
    """A rule of the contract on a column.

    Args:
        column: the column; nulls keep every rule.
        suspects: rows that may break the rule, found quickly.
        fault: the rule for the value of such a row.
    """

    column: str
    suspects: Callable[[pa.Table], pa.ChunkedArray]
    fault: Fault


def _id(column: str, fault: Fault = find_id_fault) -> ColumnRule:
    def suspects(table: pa.Table) -> pa.ChunkedArray:
        bad = [text for text in pc.unique(table[column]).to_pylist() if text and fault(text)]
        return pc.is_in(table[column], pa.array(bad, pa.string()))

    return ColumnRule(column, suspects, fault)


def _text(column: str, most: int) -> ColumnRule:
    return ColumnRule(
        column, lambda table: pc.greater(pc.binary_length(table[column]), most), partial(_length, most=most)
    )


def _length(text: str, most: int) -> str | None:
    return find_length_fault(text, most)


def _number(column: str, low: float, high: float) -> ColumnRule:
    def suspects(table: pa.Table) -> pa.ChunkedArray:
        return pc.or_(pc.less(table[column], low), pc.greater(table[column], high))

    return ColumnRule(column, suspects, lambda value: f"is {value}, must be from {low:g} to {high:g}")


def _categories() -> ColumnRule:
    def suspects(table: pa.Table) -> pa.ChunkedArray:
        distinct = pc.unique(pc.list_flatten(table["categories"])).to_pylist()
        bad = {name for name in distinct if name and contract.find_category_fault(name)}
        many = pc.greater(pc.list_value_length(table["categories"]), contract.MAX_CATEGORIES)
        if not bad:
            return many
        holds = pa.array([bool(bad.intersection(row or ())) for row in table["categories"].to_pylist()])
        return pc.or_(many, holds)

    def fault(names: Sequence[str]) -> str | None:
        if len(names) > contract.MAX_CATEGORIES:
            return f"has {len(names)} entries, at most {contract.MAX_CATEGORIES}"
        found = ((place, contract.find_category_fault(name)) for place, name in enumerate(names) if name)
        return next((f"[{place}] {reason}" for place, reason in found if reason), None)

    return ColumnRule("categories", suspects, fault)


def _category_attributes(column: str) -> ColumnRule:
    def suspects(table: pa.Table) -> pa.ChunkedArray:
        rows = len(table)
        if column not in table.column_names:  # of an import from before there were such attributes
            return pa.chunked_array([np.zeros(rows, bool)])
        lists = pa.chunked_array([chunk.items for chunk in table[column].chunks], pa.list_(pa.string()))
        too_many = pc.any(pc.greater(pc.list_value_length(lists), SLOTS)).as_py()
        bad = too_many or any(map(find_value_fault, pc.unique(pc.list_flatten(lists)).to_pylist()))
        return pa.chunked_array([np.full(rows, bool(bad))])

    def fault(given: Sequence[tuple[str, Sequence[str]]] | None) -> str | None:
        for name, values in given or ():
            if found := find_values_fault(values):
                return f"[{name!r}]{found[0]} {found[1]}"
        return None

    return ColumnRule(column, suspects, fault)


def _event_id() -> ColumnRule:
    of_any = _id("event_id").suspects

    def suspects(table: pa.Table) -> pa.ChunkedArray:
        return pc.and_(of_any(table), pc.not_equal(table["type"], "candidate"))

    return ColumnRule("event_id", suspects, find_id_fault)


def _missing_value() -> ColumnRule:
    def suspects(table: pa.Table) -> pa.ChunkedArray:
        return pc.and_(table["value"].is_null(), pc.is_in(table["type"], pa.array(WITH_VALUE, pa.string())))

    return ColumnRule("value", suspects, lambda _: f"is missing; a {' or '.join(WITH_VALUE)} needs one")


RULES: dict[str, tuple[ColumnRule, ...]] = {
    "events": (
        _event_id(),
        *map(_id, ("user_id", "scenario_id", "item_id")),
        _missing_value(),
        _number("value", -contract.MAX_NUMBER, contract.MAX_NUMBER),
        _text("text", contract.MAX_EVENT_TEXT_BYTES),
        _category_attributes("context_categories"),
    ),
    "items": (
        *map(_id, ("item_id", "scenario_id")),
        _text("title", contract.MAX_NAME_BYTES),
        _text("description", contract.MAX_DESCRIPTION_BYTES),
        _categories(),
        _text("brand", contract.MAX_FACET_BYTES),
        _number("price", 0.0, contract.MAX_NUMBER),
        _category_attributes("category_attributes"),
    ),
    "scenarios": (
        _id("scenario_id"),
        _text("name", contract.MAX_NAME_BYTES),
        _text("description", contract.MAX_DESCRIPTION_BYTES),
    ),
    "users": (_id("user_id"), _category_attributes("category_attributes")),
    "erasures": (_id("user_id", partial(_length, most=MAX_STORED_ID_BYTES)),),
}


def find_contract_problems(
    name: str, table: pa.Table, place: Callable[[str, int], str], latest_s: float
) -> Iterator[Problem]:
    """The values of a table that the gateway would refuse, each with its row and column.

    Args:
        name: events, items, scenarios, users or erasures.
        table: the table, or a part of it.
        place: formats the location of a row.
        latest_s: the latest tolerated time, seconds since 1970.
    """
    for rule in (*RULES[name], _time(latest_s)):
        for row in np.flatnonzero(pc.fill_null(rule.suspects(table), False).to_numpy(zero_copy_only=False)).tolist():
            reason = rule.fault(table[rule.column][row].as_py())
            if reason:
                yield Problem(place(name, row), rule.column, reason)


def _time(latest_s: float) -> ColumnRule:
    earliest_ms, latest_ms = contract.EARLIEST_S * 1000, min(latest_s * 1000, np.iinfo(np.int64).max // 2)

    def suspects(table: pa.Table) -> pa.ChunkedArray:
        times = table["time"].cast(pa.int64())
        return pc.or_(pc.less(times, earliest_ms), pc.greater(times, int(latest_ms)))

    def fault(time: datetime) -> str:
        time_s = time.timestamp()
        return "is before 1980" if time_s < contract.EARLIEST_S else describe_future(time_s, time_s - latest_s)

    return ColumnRule("time", suspects, fault)
