"""The three tables of every data set: events, items and scenarios; and users' attributes and erasures.

Knows their columns with documentation, and the order of rows. Knows nothing of sources (the adapters do), files
(storage.py) or invalid values (validation.py).
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from services.features.event_types import EVENT_TYPES

TIME = pa.timestamp("ms", tz="UTC")
NUMBERS = pa.map_(pa.string(), pa.float64())
CATEGORIES = pa.map_(pa.string(), pa.list_(pa.string()))

ROW_TYPES = (*EVENT_TYPES, "candidate")
"""Types of rows of the events table: behaviour event types, in the order of their count arrays, then candidates."""

LABELLED_TYPES = ("impression", "candidate")
SPLITS = ("train", "validation", "test")
SAMPLINGS = ("uniform", "popularity")
"""How negatives are drawn: from all items equally, or by their number of engagements so far."""

REQUEST_COLUMNS = ("context", "context_categories")
"""Columns of an event that describe its request: a row that is made from the event takes them."""

ReportStep = Callable[[str], None]
"""Called with the name of each step of an import."""


@dataclass(frozen=True)
class ColumnSpec:
    """One column: its Arrow type, whether it may be null, and its documentation."""

    name: str
    type: pa.DataType
    nullable: bool
    doc: str


@dataclass(frozen=True)
class TableSpec:
    """One table: its columns, and what a row is."""

    name: str
    row: str
    columns: tuple[ColumnSpec, ...]

    @property
    def schema(self) -> pa.Schema:
        """The Arrow schema that a valid table has."""
        return pa.schema([pa.field(c.name, c.type, nullable=c.nullable) for c in self.columns])

    @property
    def names(self) -> tuple[str, ...]:
        """The names of its columns."""
        return tuple(c.name for c in self.columns)

    def column(self, name: str) -> ColumnSpec:
        """The column called `name`; KeyError if the table has none."""
        return {c.name: c for c in self.columns}[name]


EVENTS = TableSpec(
    "events",
    "one user action, or one labelled candidate; sorted by time, candidates before behaviour at the same time",
    (
        ColumnSpec("event_id", pa.string(), False, "Unique id."),
        ColumnSpec("user_id", pa.string(), False, "User who acted, or for whom the candidate would be ranked."),
        ColumnSpec("scenario_id", pa.string(), False, "Scenario of the action; must be in the scenarios table."),
        ColumnSpec("item_id", pa.string(), True, "Item acted on; must be in the items table. Null for a query."),
        ColumnSpec(
            "type",
            pa.string(),
            False,
            f"One of {', '.join(ROW_TYPES)}. A candidate is an item that a ranker was, or would have been, "
            "asked to rank at `time`: a training row, not a user action, so it changes no feature.",
        ),
        ColumnSpec("time", TIME, False, "Time of the event, UTC, in milliseconds."),
        ColumnSpec(
            "value",
            pa.float64(),
            True,
            "Unit price of a purchase, or an opinion: the rating given, seconds of dwell or watching of a click, stars "
            "of a comment; the settings' features.liked_from says from which value on the item is liked.",
        ),
        ColumnSpec("text", pa.string(), True, "Text of a query or comment."),
        ColumnSpec(
            "label", pa.int8(), True, "1 or 0: engaged or not. Required for candidates, optional for impressions."
        ),
        ColumnSpec(
            "split",
            pa.string(),
            True,
            f"One of {', '.join(SPLITS)}; set where `label` is, or, if labels are made, on the events that make them.",
        ),
        ColumnSpec(
            "request_id",
            pa.string(),
            True,
            "Groups the rows of one ranking request, for NDCG and other metrics of lists. Labelled rows without it "
            "are grouped by user, scenario and day (UTC).",
        ),
        ColumnSpec(
            "context",
            NUMBERS,
            True,
            "Context of the request, as declared attributes: numbers, texts and lists of texts; may be empty.",
        ),
        ColumnSpec(
            "context_categories",
            CATEGORIES,
            True,
            "Texts and lists of texts of `context`; an import moves them here.",
        ),
        ColumnSpec(
            "sampling",
            pa.string(),
            True,
            f"How a negative was drawn: {' or '.join(SAMPLINGS)}. Null for all other rows; an import fills it in.",
        ),
    ),
)

ITEMS = TableSpec(
    "items",
    "one version of an item, or of its attributes in one scenario; sorted by time",
    (
        ColumnSpec("item_id", pa.string(), False, "Item id."),
        ColumnSpec(
            "scenario_id",
            pa.string(),
            True,
            "Null: the item itself. Set: `attributes` of the item in that scenario; title, description, "
            "brand and price are null and categories are empty.",
        ),
        ColumnSpec(
            "time", TIME, False, "Start of validity of this version, inclusive; where a file has none, the first event."
        ),
        ColumnSpec("title", pa.string(), True, "Short name; may be empty, null only where `scenario_id` is set."),
        ColumnSpec("description", pa.string(), True, "Longer text about the item."),
        ColumnSpec("categories", pa.list_(pa.string()), False, "Category names, from broad to fine; may be empty."),
        ColumnSpec("brand", pa.string(), True, "Brand or maker."),
        ColumnSpec("price", pa.float64(), True, "List price, in the data set's currency."),
        ColumnSpec("attributes", NUMBERS, False, "Named attributes: numbers, texts and lists of texts; may be empty."),
        ColumnSpec(
            "category_attributes",
            CATEGORIES,
            True,
            "Texts and lists of texts of `attributes`; an import moves them here.",
        ),
    ),
)

SCENARIOS = TableSpec(
    "scenarios",
    "one version of a scenario; sorted by time",
    (
        ColumnSpec("scenario_id", pa.string(), False, "Scenario id."),
        ColumnSpec("time", TIME, False, "Start of validity of this version, inclusive."),
        ColumnSpec("name", pa.string(), False, "Short name."),
        ColumnSpec("description", pa.string(), False, "Description of the scenario; embedded as text."),
    ),
)

TABLES = (EVENTS, ITEMS, SCENARIOS)
"""The tables that every data set has."""

USERS = TableSpec(
    "users",
    "one version of a user's attributes; sorted by time; optional",
    (
        ColumnSpec("user_id", pa.string(), False, "User, with or without events."),
        ColumnSpec("time", TIME, False, "Start of validity of this version, inclusive."),
        ColumnSpec("attributes", NUMBERS, True, "Named attributes: numbers, texts and lists of texts; may be empty."),
        ColumnSpec(
            "category_attributes",
            CATEGORIES,
            True,
            "Texts and lists of texts of `attributes`; an import moves them here.",
        ),
    ),
)

ERASURES = TableSpec(
    "erasures",
    "one erased user; sorted by time; optional",
    (
        ColumnSpec("user_id", pa.string(), False, "Erased user."),
        ColumnSpec(
            "time", TIME, False, "Events up to this time, inclusive, are in neither features nor training rows."
        ),
    ),
)


ALL_TABLES = (*TABLES, USERS, ERASURES)
"""All tables that a data set may have."""


@dataclass(frozen=True)
class Dataset:
    """The three tables, their source, the users and the erasures.

    `notes` are about the source; `warnings` ask for something to be done; `remarks` say what the import chose.
    """

    events: pa.Table
    items: pa.Table
    scenarios: pa.Table
    source: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()
    erasures: pa.Table = field(default_factory=ERASURES.schema.empty_table)
    users: pa.Table = field(default_factory=USERS.schema.empty_table)

    def table(self, name: str) -> pa.Table:
        """The table called events, items, scenarios, users or erasures."""
        table: pa.Table = getattr(self, name)
        return table


def from_columns(spec: TableSpec, columns: dict[str, Any], rows: int) -> pa.Table:
    """Build a table of `rows` rows from the given columns; missing nullable ones become null."""
    arrays = []
    for c in spec.columns:
        if c.name not in columns and not c.nullable:
            raise KeyError(f"{spec.name}.{c.name}")
        values = columns.get(c.name)
        arrays.append(pa.nulls(rows, c.type) if values is None else _as_type(values, c.type))
    return pa.Table.from_arrays(arrays, schema=spec.schema)


def _as_type(values: Any, kind: pa.DataType) -> pa.Array | pa.ChunkedArray:
    if isinstance(values, pa.Array | pa.ChunkedArray):
        return values if values.type == kind else values.cast(kind)
    return pa.array(values, type=kind)


def replace_column(table: pa.Table, name: str, values: pa.Array | pa.ChunkedArray) -> pa.Table:
    """The table with the values of one column replaced."""
    at = table.schema.get_field_index(name)
    return table.set_column(at, table.schema.field(at), values)


def event_order(events: pa.Table) -> np.ndarray:
    """Sort key within one time, int8: candidates, then impressions, then user actions."""
    kinds = pc.index_in(events["type"], value_set=pa.array(["candidate", "impression"]))
    return np.asarray(pc.fill_null(kinds, 2).to_numpy(), dtype=np.int8)


def sort_events(events: pa.Table) -> pa.Table:
    """Rows by (time, `event_order`), otherwise in the order given."""
    times = events["time"].cast(pa.int64()).to_numpy()
    return events.combine_chunks().take(pa.array(np.lexsort((event_order(events), times))))


def sort_by_time(table: pa.Table) -> pa.Table:
    """Rows by time, otherwise in the order given."""
    times = table["time"].cast(pa.int64()).to_numpy()
    return table.combine_chunks().take(pa.array(np.argsort(times, kind="stable")))


def columns_markdown(spec: TableSpec) -> str:
    """The column documentation as a Markdown table."""
    lines = ["| column | type | null | meaning |", "|---|---|---|---|"]
    lines += [f"| {c.name} | {c.type} | {'yes' if c.nullable else 'no'} | {c.doc} |" for c in spec.columns]
    return "\n".join(lines)
