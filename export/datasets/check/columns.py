"""Reads the tables into compact numeric columns for the checks, a batch at a time.

Ids become 64-bit hashes and codes, so an event takes about 50 bytes however long its ids and texts are. Two of a
billion ids share a hash with probability below 0.03. Knows columns; checks nothing.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from export.datasets.errors import DatasetError
from export.datasets.requests import drop_day_groups, group_requests
from export.datasets.tables import ROW_TYPES, SPLITS, Dataset
from services.features.hashing import facet_keys

Ints = npt.NDArray[np.int64]
Small = npt.NDArray[np.int16]
Hashes = npt.NDArray[np.uint64]
Mask = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]

BATCH_ROWS = 131_072
NONE = -1


class TableReader(Protocol):
    """Reads the tables of a data set: `export.datasets.storage.DatasetReader`, or one in memory."""

    def batches(self, table: str, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
        """Read the rows of a table in order."""

    def columns(self, table: str) -> list[str]:
        """Names of the columns that the table has; imports from earlier versions have fewer."""


class MemoryTableReader:
    """Reads a data set in memory like one on disk."""

    def __init__(self, dataset: Dataset) -> None:
        self._dataset = dataset

    def batches(self, table: str, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
        """Read the rows of a table in order."""
        whole = self._dataset.table(table)
        chosen = whole if columns is None else whole.select(list(columns))
        yield from chosen.to_batches(max_chunksize=BATCH_ROWS)

    def columns(self, table: str) -> list[str]:
        """Names of the columns of a table."""
        names: list[str] = self._dataset.table(table).column_names
        return names


@dataclass(frozen=True)
class EventColumns:
    """Events as columns, [E] each.

    Args:
        id: hash of the event id.
        user: code of the user, 0 to `users` - 1.
        item: code of the item, shared with `ItemColumns`; NONE for a query.
        scenario: code of the scenario: its place in `CheckedData.scenarios`.
        type: place in ROW_TYPES.
        time: milliseconds.
        label: 0, 1 or NONE.
        split: place in SPLITS, or NONE.
        request: hash of the group of rows that a labelled row is ranked with; 0 for other rows.
        named: the group is a request of the data, not a user's day.
        users: number of users.
    """

    id: Hashes
    user: Ints
    item: Ints
    scenario: Small
    type: Small
    time: Ints
    label: Small
    split: Small
    request: Hashes
    named: Mask
    users: int

    @property
    def labelled(self) -> Mask:
        """Rows with a label."""
        return np.asarray(self.label != NONE)

    @property
    def behavior(self) -> Mask:
        """Rows that are user actions or impressions, not candidates."""
        return np.asarray(self.type != ROW_TYPES.index("candidate"))

    @property
    def actions(self) -> Mask:
        """Rows of user actions on an item."""
        return np.asarray(self.behavior & (self.type != ROW_TYPES.index("impression")) & (self.item != NONE))

    def in_split(self, name: str) -> Mask:
        """Labelled rows of a split."""
        return np.asarray(self.labelled & (self.split == SPLITS.index(name)))


@dataclass(frozen=True)
class ItemColumns:
    """Rows of the items table as columns, [N] each; `own` rows describe the item itself.

    `facets` [N, F] are the keys of its categories and brand, as features keep them.
    """

    item: Ints
    own: Mask
    time: Ints
    titled: Mask
    described: Mask
    categories: Ints
    priced: Mask
    facets: Ints
    items: int


@dataclass(frozen=True)
class CheckedData:
    """A data set as compact columns; `described` and `scenario_time` are per scenario, [S]."""

    events: EventColumns
    items: ItemColumns
    scenarios: tuple[str, ...]
    described: Mask
    scenario_time: Ints


def read_columns(tables: TableReader, levels: int) -> CheckedData:
    """Read all three tables; needs memory for the numbers and one batch. DatasetError if there are no events.

    `levels` is the number of category levels that features keep.
    """
    rows = pa.Table.from_batches(tables.batches("scenarios"))
    names = pc.unique(rows["scenario_id"]) if len(rows) else pa.array([], pa.string())
    place = pc.index_in(rows["scenario_id"], names).to_numpy()
    described = np.zeros(len(names), bool)
    described[place] = pc.not_equal(rows["description"], "").to_numpy()
    time = np.full(len(names), np.iinfo(np.int64).max)
    np.minimum.at(time, place, rows["time"].cast(pa.int64()).to_numpy())
    events, items = (_read_table(tables, name, names, levels) for name in ("events", "items"))
    if not events:
        raise DatasetError("there are no events")
    given = events["item"] != 0
    known, code = np.unique(np.concatenate([events["item"][given], items["item"]]), return_inverse=True)
    code = code.reshape(-1).astype(np.int64)
    events["item"] = np.full(len(given), NONE, np.int64)
    events["item"][given] = code[: given.sum()]
    users, events["user"] = np.unique(events["user"], return_inverse=True)
    own = {**items, "item": code[given.sum() :], "items": len(known)}
    return CheckedData(
        EventColumns(**events, users=len(users)), ItemColumns(**own), tuple(names.to_pylist()), described, time
    )


def _read_table(tables: TableReader, name: str, scenarios: pa.Array, levels: int) -> dict[str, Any]:
    """Read the columns of events or items from all batches."""
    read, columns = READERS[name]
    parts = [read(batch, scenarios, levels) for batch in tables.batches(name, columns)]
    joined: dict[str, Any] = {}
    for column in parts[0] if parts else ():
        joined[column] = np.concatenate([part[column] for part in parts])
    return joined


def _event_columns(batch: pa.RecordBatch, scenarios: pa.Array, _: int) -> dict[str, Any]:
    labelled = batch["label"].is_valid()
    groups = group_requests(pa.Table.from_batches([batch.select(["user_id", "scenario_id", "time", "request_id"])]))
    groups = pc.if_else(labelled, groups, pa.scalar(None, pa.string())).combine_chunks()
    return {
        "id": hash_strings(batch["event_id"]),
        "user": hash_strings(batch["user_id"]),
        "item": hash_strings(batch["item_id"]),
        "scenario": _codes(batch["scenario_id"], scenarios),
        "type": _codes(batch["type"], pa.array(ROW_TYPES)),
        "time": batch["time"].cast(pa.int64()).to_numpy(),
        "label": pc.fill_null(batch["label"].cast(pa.int16()), NONE).to_numpy(zero_copy_only=False),
        "split": _codes(batch["split"], pa.array(SPLITS)),
        "request": hash_strings(groups),
        "named": drop_day_groups(groups).is_valid().to_numpy(zero_copy_only=False),
    }


def _item_columns(batch: pa.RecordBatch, _: pa.Array, levels: int) -> dict[str, Any]:
    own = batch["scenario_id"].is_null()
    return {
        "item": hash_strings(batch["item_id"]),
        "own": own.to_numpy(zero_copy_only=False),
        "time": batch["time"].cast(pa.int64()).to_numpy(),
        "titled": _is_given(batch["title"]),
        "described": _is_given(batch["description"]),
        "categories": pc.fill_null(pc.list_value_length(batch["categories"]), 0).to_numpy().astype(np.int64),
        "priced": batch["price"].is_valid().to_numpy(zero_copy_only=False),
        "facets": _facets(batch, levels),
    }


READERS = {
    "events": (
        _event_columns,
        ("event_id", "user_id", "item_id", "scenario_id", "type", "time", "label", "split", "request_id"),
    ),
    "items": (
        _item_columns,
        ("item_id", "scenario_id", "time", "title", "description", "categories", "brand", "price"),
    ),
}


def hash_strings(column: pa.Array) -> Hashes:
    """A hash per string, 0 for null; each distinct string of the batch is hashed once."""
    encoded = column.dictionary_encode()
    words = np.array(encoded.dictionary.to_pylist(), object)
    hashes = np.append(np.maximum(pd.util.hash_array(words), 1) if len(words) else [], 0).astype(np.uint64)
    return np.asarray(hashes[pc.fill_null(encoded.indices, len(words)).to_numpy()])


def _codes(column: pa.Array, known: pa.Array) -> Small:
    return np.asarray(pc.fill_null(pc.index_in(column, known), NONE).to_numpy(), dtype=np.int16)


def _is_given(column: pa.Array) -> Mask:
    return np.asarray(pc.not_equal(pc.fill_null(column, ""), "").to_numpy(zero_copy_only=False))


def _facets(batch: pa.RecordBatch, levels: int) -> Ints:
    """Keys of the categories and brand of each row; 0 for rows of items in scenarios, which have none."""
    found: dict[tuple[tuple[str, ...], str], Ints] = {}
    rows = np.zeros((batch.num_rows, levels + 1), np.int64)
    own = np.flatnonzero(batch["scenario_id"].is_null().to_numpy(zero_copy_only=False))
    chosen = batch.select(["categories", "brand"]).take(pa.array(own))
    for row, categories, brand in zip(own, chosen["categories"].to_pylist(), chosen["brand"].to_pylist(), strict=True):
        key = tuple(categories or ()), brand or ""
        if key not in found:
            found[key] = facet_keys(*key, levels)
        rows[row] = found[key]
    return rows
