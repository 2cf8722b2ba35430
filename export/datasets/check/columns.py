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
from export.datasets.tables import ROW_TYPES, SPLITS, Dataset

Ints = npt.NDArray[np.int64]
Small = npt.NDArray[np.int16]
Hashes = npt.NDArray[np.uint64]
Mask = npt.NDArray[np.bool_]

BATCH_ROWS = 131_072
NONE = -1


class TableReader(Protocol):
    """Reads the tables of a data set: `export.datasets.storage.DatasetReader`, or one in memory."""

    def batches(self, table: str, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
        """Read the rows of a table in order."""


class MemoryTableReader:
    """Reads a data set in memory like one on disk."""

    def __init__(self, dataset: Dataset) -> None:
        self._dataset = dataset

    def batches(self, table: str, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
        """Read the rows of a table in order."""
        whole = self._dataset.table(table)
        chosen = whole if columns is None else whole.select(list(columns))
        yield from chosen.to_batches(max_chunksize=BATCH_ROWS)


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
        request: hash of the request id, 0 without.
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


@dataclass(frozen=True)
class ItemColumns:
    """Rows of the items table as columns, [N] each; `own` rows describe the item itself."""

    item: Ints
    own: Mask
    time: Ints
    titled: Mask
    described: Mask
    categories: Ints
    priced: Mask
    items: int
    attributes: frozenset[str]
    scenario_attributes: frozenset[str]


@dataclass(frozen=True)
class CheckedData:
    """A data set as compact columns; `described` and `scenario_time` are per scenario, [S]."""

    events: EventColumns
    items: ItemColumns
    scenarios: tuple[str, ...]
    described: Mask
    scenario_time: Ints


def read_columns(tables: TableReader) -> CheckedData:
    """Read all three tables; needs memory for the numbers and one batch. DatasetError if there are no events."""
    rows = pa.Table.from_batches(tables.batches("scenarios"))
    names = pc.unique(rows["scenario_id"]) if len(rows) else pa.array([], pa.string())
    place = pc.index_in(rows["scenario_id"], names).to_numpy()
    described = np.zeros(len(names), bool)
    described[place] = pc.not_equal(rows["description"], "").to_numpy()
    time = np.full(len(names), np.iinfo(np.int64).max)
    np.minimum.at(time, place, rows["time"].cast(pa.int64()).to_numpy())
    events, items = _read_table(tables, "events", names), _read_table(tables, "items", names)
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


def _read_table(tables: TableReader, name: str, scenarios: pa.Array) -> dict[str, Any]:
    """Read the columns of events or items from all batches; attribute names as sets."""
    read, columns = READERS[name]
    parts = [read(batch, scenarios) for batch in tables.batches(name, columns)]
    joined: dict[str, Any] = {}
    for column in parts[0] if parts else ():
        values = [part[column] for part in parts]
        joined[column] = frozenset().union(*values) if isinstance(values[0], frozenset) else np.concatenate(values)
    return joined


def _event_columns(batch: pa.RecordBatch, scenarios: pa.Array) -> dict[str, Any]:
    return {
        "id": _hashes(batch["event_id"]),
        "user": _hashes(batch["user_id"]),
        "item": _hashes(batch["item_id"]),
        "scenario": _codes(batch["scenario_id"], scenarios),
        "type": _codes(batch["type"], pa.array(ROW_TYPES)),
        "time": batch["time"].cast(pa.int64()).to_numpy(),
        "label": pc.fill_null(batch["label"].cast(pa.int16()), NONE).to_numpy(zero_copy_only=False),
        "split": _codes(batch["split"], pa.array(SPLITS)),
        "request": _hashes(batch["request_id"]),
    }


def _item_columns(batch: pa.RecordBatch, _: pa.Array) -> dict[str, Any]:
    own = batch["scenario_id"].is_null()
    return {
        "item": _hashes(batch["item_id"]),
        "own": own.to_numpy(zero_copy_only=False),
        "time": batch["time"].cast(pa.int64()).to_numpy(),
        "titled": _is_given(batch["title"]),
        "described": _is_given(batch["description"]),
        "categories": pc.fill_null(pc.list_value_length(batch["categories"]), 0).to_numpy().astype(np.int64),
        "priced": batch["price"].is_valid().to_numpy(zero_copy_only=False),
        "attributes": _attribute_names(batch.filter(own)),
        "scenario_attributes": _attribute_names(batch.filter(pc.invert(own))),
    }


READERS = {
    "events": (
        _event_columns,
        ("event_id", "user_id", "item_id", "scenario_id", "type", "time", "label", "split", "request_id"),
    ),
    "items": (
        _item_columns,
        ("item_id", "scenario_id", "time", "title", "description", "categories", "price", "attributes"),
    ),
}


def _hashes(column: pa.Array) -> Hashes:
    """A hash per string, 0 for null; each distinct string of the batch is hashed once."""
    encoded = column.dictionary_encode()
    words = np.array(encoded.dictionary.to_pylist(), object)
    hashes = np.append(np.maximum(pd.util.hash_array(words), 1) if len(words) else [], 0).astype(np.uint64)
    return np.asarray(hashes[pc.fill_null(encoded.indices, len(words)).to_numpy()])


def _codes(column: pa.Array, known: pa.Array) -> Small:
    return np.asarray(pc.fill_null(pc.index_in(column, known), NONE).to_numpy(), dtype=np.int16)


def _is_given(column: pa.Array) -> Mask:
    return np.asarray(pc.not_equal(pc.fill_null(column, ""), "").to_numpy(zero_copy_only=False))


def _attribute_names(batch: pa.RecordBatch) -> frozenset[str]:
    maps = batch["attributes"]
    keys = maps.keys.slice(maps.offsets[0].as_py(), maps.offsets[-1].as_py() - maps.offsets[0].as_py())
    return frozenset(pc.unique(keys).to_pylist())
