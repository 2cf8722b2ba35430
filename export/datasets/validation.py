"""Validation of the three tables, column by column: the rules of the format here, those of the contract in contract.py.

Knows the rules; knows nothing of files. Rows are counted from 0; the caller's `place` formats their location.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from export.datasets.contract import find_contract_problems
from export.datasets.errors import DatasetError, Problem
from export.datasets.tables import (
    ALL_TABLES,
    EVENTS,
    ITEMS,
    LABELLED_TYPES,
    ROW_TYPES,
    SAMPLINGS,
    SCENARIOS,
    SPLITS,
    TABLES,
    USERS,
    Dataset,
    TableSpec,
    event_order,
)
from services.features.event_types import select_event_types

WITHOUT_ITEM = select_event_types(needs_item=False)
WITH_TEXT = select_event_types(needs_text=True)

OWN_LABELS = (
    f"Only rows of type {' and '.join(LABELLED_TYPES)} carry labels, and with them splits: write what was to be ranked "
    "as such a row, and each action as a row of its own without label and split; or omit the labels, and the settings' "
    "[dataset] make them from the actions, which may then carry splits"
)
"""Which rows may carry labels and splits of one's own."""

# Formats a table name and a row number, such as "events row 3" or "events.jsonl:4".
Place = Callable[[str, int], str]


@dataclass(frozen=True)
class Rule:
    """A rule on `column`; rows for which `broken` is true violate it."""

    column: str
    reason: str
    broken: Callable[[pa.Table], pa.ChunkedArray]


def _one_of(t: pa.Table, column: str, values: tuple[str, ...]) -> pa.ChunkedArray:
    return pc.is_in(t[column], value_set=pa.array(values))


def _unknown_value(t: pa.Table, column: str, values: tuple[str, ...]) -> pa.ChunkedArray:
    return pc.and_(t[column].is_valid(), pc.invert(_one_of(t, column, values)))


def _not_finite(t: pa.Table, column: str) -> pa.ChunkedArray:
    return pc.invert(pc.is_finite(t[column]))


def _null_or_empty(t: pa.Table, column: str) -> pa.ChunkedArray:
    return pc.equal(pc.fill_null(t[column], ""), "")


def _has_bad_element(t: pa.Table, column: str, bad: Callable[[pa.Array], pa.Array]) -> pa.ChunkedArray:
    """True where the list or map of the row holds an element for which `bad` is true."""
    chunks = []
    for chunk in t[column].chunks:
        rows = np.zeros(len(chunk), dtype=bool)
        values = chunk.items if pa.types.is_map(chunk.type) else chunk.values
        ends = chunk.offsets.to_numpy()
        elements = np.flatnonzero(bad(values).to_numpy(zero_copy_only=False))
        elements = elements[(elements >= ends[0]) & (elements < ends[-1])]
        rows[np.searchsorted(ends, elements, side="right") - 1] = True
        chunks.append(pa.array(rows))
    return pa.chunked_array(chunks, type=pa.bool_())


def _bad_number(values: pa.Array) -> pa.Array:
    return pc.invert(pc.fill_null(pc.is_finite(values), False))


def _bad_text(values: pa.Array) -> pa.Array:
    return pc.equal(pc.fill_null(values, ""), "")


def _attributes_only(column: str) -> Rule:
    return Rule(
        column,
        "must be null where scenario_id is set",
        lambda t: pc.and_(t["scenario_id"].is_valid(), t[column].is_valid()),
    )


RULES: dict[str, tuple[Rule, ...]] = {
    "events": (
        Rule("event_id", "is empty", lambda t: pc.equal(t["event_id"], "")),
        Rule("user_id", "is empty", lambda t: pc.equal(t["user_id"], "")),
        Rule("scenario_id", "is empty", lambda t: pc.equal(t["scenario_id"], "")),
        Rule("type", f"is none of {', '.join(ROW_TYPES)}", lambda t: _unknown_value(t, "type", ROW_TYPES)),
        Rule(
            "item_id",
            f"is missing; only a {' or '.join(WITHOUT_ITEM)} has no item",
            lambda t: pc.and_(_null_or_empty(t, "item_id"), pc.invert(_one_of(t, "type", WITHOUT_ITEM))),
        ),
        Rule(
            "item_id",
            f"must be null for a {' or '.join(WITHOUT_ITEM)}",
            lambda t: pc.and_(t["item_id"].is_valid(), _one_of(t, "type", WITHOUT_ITEM)),
        ),
        Rule(
            "text",
            f"is missing; a {' or '.join(WITH_TEXT)} needs one",
            lambda t: pc.and_(_null_or_empty(t, "text"), _one_of(t, "type", WITH_TEXT)),
        ),
        Rule("value", "is not a finite number", lambda t: _not_finite(t, "value")),
        Rule("label", "is neither 0 nor 1", lambda t: pc.invert(pc.is_in(t["label"], pa.array([0, 1, None], "i1")))),
        Rule(
            "label",
            f"is set on an action. {OWN_LABELS}",
            lambda t: pc.and_(t["label"].is_valid(), pc.invert(_one_of(t, "type", LABELLED_TYPES))),
        ),
        Rule(
            "label",
            "is missing; a candidate needs one",
            lambda t: pc.and_(t["label"].is_null(), pc.equal(t["type"], "candidate")),
        ),
        Rule("split", f"is none of {', '.join(SPLITS)}", lambda t: _unknown_value(t, "split", SPLITS)),
        Rule(
            "split",
            "is missing; a labelled row needs one",
            lambda t: pc.and_(t["label"].is_valid(), t["split"].is_null()),
        ),
        Rule(
            "split",
            f"is set on a row without a label. {OWN_LABELS}",
            lambda t: pc.and_(t["label"].is_null(), t["split"].is_valid()),
        ),
        Rule("context", "holds a value that is not finite", lambda t: _has_bad_element(t, "context", _bad_number)),
        Rule("sampling", f"is none of {', '.join(SAMPLINGS)}", lambda t: _unknown_value(t, "sampling", SAMPLINGS)),
        Rule(
            "sampling",
            "is set on a row that is no negative (label 0)",
            lambda t: pc.and_(t["sampling"].is_valid(), pc.fill_null(pc.not_equal(t["label"], 0), True)),
        ),
    ),
    "items": (
        Rule("item_id", "is empty", lambda t: pc.equal(t["item_id"], "")),
        Rule("scenario_id", "is empty", lambda t: pc.equal(t["scenario_id"], "")),
        Rule("title", "is missing", lambda t: pc.and_(t["title"].is_null(), t["scenario_id"].is_null())),
        Rule(
            "categories",
            "must be empty where scenario_id is set",
            lambda t: pc.and_(t["scenario_id"].is_valid(), pc.greater(pc.list_value_length(t["categories"]), 0)),
        ),
        Rule("categories", "holds an empty name", lambda t: _has_bad_element(t, "categories", _bad_text)),
        Rule(
            "attributes", "holds a value that is not finite", lambda t: _has_bad_element(t, "attributes", _bad_number)
        ),
        Rule("price", "is not a finite number", lambda t: _not_finite(t, "price")),
        *(_attributes_only(c) for c in ("title", "description", "brand", "price")),
    ),
    "scenarios": (Rule("scenario_id", "is empty", lambda t: pc.equal(t["scenario_id"], "")),),
    "users": (
        Rule("user_id", "is empty", lambda t: pc.equal(t["user_id"], "")),
        Rule(
            "attributes", "holds a value that is not finite", lambda t: _has_bad_element(t, "attributes", _bad_number)
        ),
    ),
    "erasures": (Rule("user_id", "is empty", lambda t: pc.equal(t["user_id"], "")),),
}

KEYS = {
    "events": ("event_id",),
    "items": ("item_id", "scenario_id", "time"),
    "scenarios": ("scenario_id", "time"),
    "users": ("user_id", "time"),
    "erasures": ("user_id", "time"),
}


def describe_row(table: str, row: int) -> str:
    """The default location of a row."""
    return f"{table} row {row}"


def validate_dataset(dataset: Dataset, place: Place = describe_row, latest_s: float = np.inf) -> None:
    """Raise DatasetError with every invalid row, also of a time after `latest_s`; the row order does not matter."""
    problems = [p for spec in ALL_TABLES for p in find_problems(spec, dataset.table(spec.name), place, latest_s)]
    problems += _find_dangling_ids(dataset, place)
    if problems:
        raise DatasetError(f"{len(problems)} problem{'s' if len(problems) > 1 else ''} in the data set", problems)


def find_problems(
    spec: TableSpec, table: pa.Table, place: Place = describe_row, latest_s: float = np.inf
) -> Iterator[Problem]:
    """Find all problems within one table; DatasetError if it has another schema."""
    if not table.schema.equals(spec.schema):
        raise DatasetError(f"{spec.name} has schema\n{table.schema}\nbut should have\n{spec.schema}")
    for column in spec.columns:
        if not column.nullable and table[column.name].null_count:
            yield from _report_rows(spec, column.name, "is missing", table[column.name].is_null(), place)
    for rule in RULES[spec.name]:
        yield from _report_rows(spec, rule.column, rule.reason, rule.broken(table), place)
    yield from find_contract_problems(spec.name, table, place, latest_s)
    yield from _find_duplicates(spec, table, place)


def validate_order(dataset: Dataset) -> None:
    """Raise DatasetError for the first row of each table that is earlier than its predecessor."""
    problems = []
    for spec in (*TABLES, USERS):
        table = dataset.table(spec.name)
        time = table["time"].cast(pa.int64()).to_numpy()
        kind = event_order(table) if spec is EVENTS else np.zeros(len(time), dtype=np.int8)
        early = (time[1:] < time[:-1]) | ((time[1:] == time[:-1]) & (kind[1:] < kind[:-1]))
        if early.any():
            row = int(np.argmax(early)) + 1
            problems.append(Problem(describe_row(spec.name, row), "time", "is out of order"))
    if problems:
        raise DatasetError("rows are not sorted", problems)


def _report_rows(spec: TableSpec, column: str, reason: str, mask: pa.ChunkedArray, place: Place) -> Iterator[Problem]:
    for row in np.flatnonzero(pc.fill_null(mask, False).to_numpy()):
        yield Problem(place(spec.name, int(row)), column, reason)


def _find_duplicates(spec: TableSpec, table: pa.Table, place: Place) -> Iterator[Problem]:
    """Find rows whose key occurs in an earlier row."""
    keys = list(KEYS[spec.name])
    if len(keys) == 1 and pc.count_distinct(table[keys[0]]).as_py() == len(table):
        return
    numbered = table.select(keys).append_column("row", pa.array(np.arange(len(table))))
    first = numbered.group_by(keys).aggregate([("row", "min")])["row_min"].to_numpy()
    repeated = np.ones(len(table), dtype=bool)
    repeated[first] = False
    for row in np.flatnonzero(repeated):
        yield Problem(place(spec.name, int(row)), " + ".join(keys), "occurs in an earlier row")


def _find_dangling_ids(dataset: Dataset, place: Place) -> Iterator[Problem]:
    """Find ids that are missing from the table they refer to."""
    itself = dataset.items["scenario_id"].is_null()
    items = dataset.items["item_id"].filter(itself).combine_chunks()
    scenarios = dataset.scenarios["scenario_id"].combine_chunks()
    for spec, column, known, target in (
        (EVENTS, "item_id", items, ITEMS),
        (EVENTS, "scenario_id", scenarios, SCENARIOS),
        (ITEMS, "item_id", items, ITEMS),
        (ITEMS, "scenario_id", scenarios, SCENARIOS),
    ):
        ids = dataset.table(spec.name)[column]
        missing = pc.and_(ids.is_valid(), pc.invert(pc.is_in(ids, value_set=known)))
        yield from _report_rows(spec, column, f"is not in the {target.name} table", missing, place)
