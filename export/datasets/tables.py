"""The three tables that every data set is converted to: events, items and scenarios; and who is left out of them.

Knows their columns, what each column means and how rows are ordered. Doesn't know where a data set
comes from (the adapters do), nor what is on disk (storage.py), nor which values are wrong (validation.py).
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from services.features.event_types import EVENT_TYPES

TIME = pa.timestamp("ms", tz="UTC")

ROW_TYPES = (*EVENT_TYPES, "candidate")
"""Types of rows of the events table: behaviour event types, in the order of their count arrays, then candidates."""

LABELLED_TYPES = ("impression", "candidate")
SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class ColumnSpec:
    """One column: its Arrow type, whether a row may leave it null, and what it means."""

    name: str
    type: pa.DataType
    nullable: bool
    doc: str


@dataclass(frozen=True)
class TableSpec:
    """One table: its columns, what a row is, and how rows are ordered."""

    name: str
    row: str
    columns: tuple[ColumnSpec, ...]

    @property
    def schema(self) -> pa.Schema:
        """The Arrow schema that a valid table has."""
        return pa.schema([pa.field(c.name, c.type, nullable=c.nullable) for c in self.columns])

    def column(self, name: str) -> ColumnSpec:
        """The column called `name`; KeyError if the table has none."""
        return {c.name: c for c in self.columns}[name]


EVENTS = TableSpec(
    "events",
    "one user action, or one labelled candidate; sorted by time, candidates before behaviour at one instant",
    (
        ColumnSpec("event_id", pa.string(), False, "Unique id."),
        ColumnSpec("user_id", pa.string(), False, "Who acted, or whom the candidate would have been ranked for."),
        ColumnSpec("scenario_id", pa.string(), False, "Scenario of the action; must be in the scenarios table."),
        ColumnSpec("item_id", pa.string(), True, "Item acted on; must be in the items table. Null for a query."),
        ColumnSpec(
            "type",
            pa.string(),
            False,
            f"One of {', '.join(ROW_TYPES)}. A candidate is an item that a ranker was, or would have been, "
            "asked about at `time`: a training row, not a user action, so it changes no feature.",
        ),
        ColumnSpec("time", TIME, False, "When it happened, UTC, in milliseconds."),
        ColumnSpec("value", pa.float64(), True, "Unit price of a purchase, or the rating given."),
        ColumnSpec("text", pa.string(), True, "Words of a query or comment."),
        ColumnSpec("label", pa.int8(), True, "1 or 0: engaged or not. Candidates need it, impressions may have it."),
        ColumnSpec("split", pa.string(), True, f"One of {', '.join(SPLITS)}; set where `label` is."),
        ColumnSpec("request_id", pa.string(), True, "Groups the rows that were ranked together."),
        ColumnSpec(
            "context",
            pa.map_(pa.string(), pa.float64()),
            True,
            "What was known of the moment besides the time, as declared numbers (the device, say); may be empty.",
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
        ColumnSpec("time", TIME, False, "From when on, inclusive, this version holds."),
        ColumnSpec("title", pa.string(), True, "Short name; may be empty, null only where `scenario_id` is set."),
        ColumnSpec("description", pa.string(), True, "More words about the item."),
        ColumnSpec("categories", pa.list_(pa.string()), False, "Category names, from broad to fine; may be empty."),
        ColumnSpec("brand", pa.string(), True, "Brand or maker."),
        ColumnSpec("price", pa.float64(), True, "List price, in the data set's currency."),
        ColumnSpec("attributes", pa.map_(pa.string(), pa.float64()), False, "Named numbers; may be empty."),
    ),
)

SCENARIOS = TableSpec(
    "scenarios",
    "one version of a scenario; sorted by time",
    (
        ColumnSpec("scenario_id", pa.string(), False, "Scenario id."),
        ColumnSpec("time", TIME, False, "From when on, inclusive, this version holds."),
        ColumnSpec("name", pa.string(), False, "Short name."),
        ColumnSpec("description", pa.string(), False, "What the scenario is like, in words; embedded as text."),
    ),
)

TABLES = (EVENTS, ITEMS, SCENARIOS)

ERASURES = TableSpec(
    "erasures",
    "one user who asked to be forgotten; sorted by time; may be left out",
    (
        ColumnSpec("user_id", pa.string(), False, "Who is forgotten."),
        ColumnSpec(
            "time", TIME, False, "Up to when, inclusive: neither features nor training rows know what was before."
        ),
    ),
)


@dataclass(frozen=True)
class Dataset:
    """The three tables, where they come from, and which users are left out of them."""

    events: pa.Table
    items: pa.Table
    scenarios: pa.Table
    source: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    erasures: pa.Table = field(default_factory=ERASURES.schema.empty_table)

    def table(self, name: str) -> pa.Table:
        """The table called events, items, scenarios or erasures."""
        tables = {"events": self.events, "items": self.items, "scenarios": self.scenarios, "erasures": self.erasures}
        return tables[name]


def from_columns(spec: TableSpec, columns: dict[str, Any], rows: int) -> pa.Table:
    """A table of `rows` rows from the given columns; the nullable ones that are absent become null."""
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


def event_order(events: pa.Table) -> np.ndarray:
    """Sort key within one instant, int8: candidates, then impressions, then what users did."""
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
