"""Writes Feast's offline source: every version of a row that the replay writes, with the time from which it is valid.

A RowStore that forwards all calls and records the changed keys: each flush appends the changed rows to one Parquet
file per view. For an entity and a time, `get_historical_features` then returns the row as of the last flush before
that time.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from services.features.hashing import key64
from services.features.rows import Block
from services.features.schema import SCALAR, VARIABLE, Schema, View
from services.settings.private_files import make_private_directory
from services.store.protocol import Key, ReadRequest, RowStore, read_block

_TYPES = {"float64": pa.float64(), "int64": pa.int64(), "string": pa.string()}
_SAMPLED = ("user", "user_scenario")


class OfflineRecorder:
    """A RowStore over another one that records row versions; a context manager.

    Args:
        store: the store that holds the rows.
        schema: the feature schema.
        out: directory of `<view>.parquet` files.
        user_share: share of users, 0 to 1, whose rows are recorded (chosen by a hash of the user id): user rows
            are wide, and every event changes three of them. Rows of items and scenarios are all recorded.
    """

    def __init__(self, store: RowStore, schema: Schema, out: Path, user_share: float = 1.0) -> None:
        make_private_directory(out)
        self._store, self._schema, self._share = store, schema, user_share
        self.users: set[str] = set()
        """Users whose rows were recorded."""
        self._changed: dict[str, dict[Key, None]] = {view.name: {} for view in schema.views}
        self._files = {view.name: _open(view, out) for view in schema.views}

    def __enter__(self) -> "OfflineRecorder":
        return self

    def __exit__(self, *_: object) -> None:
        self.flush()
        for file in self._files.values():
            file.close()

    def read_blocks(self, requests: Sequence[ReadRequest]) -> list[Block]:
        """See `RowStore`."""
        return self._store.read_blocks(requests)

    def write(self, keys: Sequence[Key], block: Block) -> None:
        """Forward to the store and record the changed keys."""
        self._store.write(keys, block)
        name = block.view.name
        kept = [key for key in keys if self._is_sampled(key[0])] if name in _SAMPLED else keys
        self._changed[name].update(dict.fromkeys(kept))
        if name == "user":
            self.users.update(key[0] for key in kept)

    def delete(self, view: View, keys: Sequence[Key], position: Sequence[int]) -> None:
        """Forward to the store; versions that were flushed stay."""
        self._store.delete(view, keys, position)
        for key in keys:
            self._changed[view.name].pop(key, None)

    def flush(self) -> None:
        """Append the rows that changed since the last flush."""
        for view in self._schema.views:
            keys = list(self._changed[view.name])
            if keys:
                block = read_block(self._store, view, keys)
                self._files[view.name].write_table(_table(keys, block))
                self._changed[view.name].clear()

    def _is_sampled(self, user: str) -> bool:
        return (key64(user) % 10_000) < self._share * 10_000


def _open(view: View, out: Path) -> pq.ParquetWriter:
    fields = [pa.field(entity, pa.string()) for entity in view.entities]
    for feature in view.features:
        kind = _TYPES[feature.dtype]
        fields.append(pa.field(feature.name, kind if feature.length == SCALAR else pa.list_(kind)))
    fields.append(pa.field("event_timestamp", pa.timestamp("us", tz="UTC")))
    return pq.ParquetWriter(out / f"{view.name}.parquet", pa.schema(fields), compression="zstd")


def _table(keys: Sequence[Key], block: Block) -> pa.Table:
    columns: dict[str, pa.Array] = {
        entity: pa.array([key[number] for key in keys]) for number, entity in enumerate(block.view.entities)
    }
    for feature in block.view.features:
        if feature.length == VARIABLE:
            ragged = block.ragged[feature.name]
            columns[feature.name] = _lists(ragged.values, ragged.lengths, _TYPES[feature.dtype])
        elif feature.length == SCALAR:
            columns[feature.name] = pa.array(block.fixed[feature.name], _TYPES[feature.dtype])
        else:
            lengths = np.full(block.size, feature.length)
            columns[feature.name] = _lists(block.fixed[feature.name].reshape(-1), lengths, _TYPES[feature.dtype])
    times = block.floats("time_s" if "time_s" in block.fixed else "updated_s") if _has_time(block) else None
    micros = np.zeros(block.size, np.int64) if times is None else np.rint(times * 1e6).astype(np.int64)
    columns["event_timestamp"] = pa.array(micros).cast(pa.timestamp("us", tz="UTC"))
    return pa.table(columns)


def _has_time(block: Block) -> bool:
    return "time_s" in block.fixed or "updated_s" in block.fixed


def _lists(values: np.ndarray, lengths: np.ndarray, kind: pa.DataType) -> pa.Array:
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(values, kind))
