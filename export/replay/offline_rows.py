"""Writes Feast's offline source: every version of a row that the replay writes, with the time from which it is valid.

A RowStore that forwards all calls and records the changed keys: each flush records the changed rows, in one Parquet
file per view. For an entity and a time, `get_historical_features` then returns the row as of the last flush before
that time. The files appear when all of them are whole.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from export.replay.versions import VersionedRows
from services.features.feature import SCALAR, VARIABLE
from services.features.hashing import key64
from services.features.rows import Block, Ints, concatenate
from services.features.schema import Schema, View
from services.settings.private_files import make_private_directory
from services.store.protocol import Key, ReadRequest, RowStore, read_block

GROUP_BYTES = 8 << 20
"""Row versions of a view are buffered up to this size, then written as one row group."""

_TYPES = {"float64": pa.float64(), "int64": pa.int64(), "string": pa.string()}
_SAMPLED = ("user", "user_scenario")

TIMES = ("time_s", "updated_s", "profile_s")
"""Features that hold the time of a row's newest event or update; a version is valid from the latest of them."""


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
        self._store, self._schema, self._out, self._share = store, schema, out, user_share
        self.users: set[str] = set()
        """Users whose rows were recorded."""
        self._changed: dict[str, dict[Key, None]] = {view.name: {} for view in schema.views}
        self._files: dict[str, _VersionFile] = {}

    def __enter__(self) -> "OfflineRecorder":
        make_private_directory(self._out)
        for view in self._schema.views:
            (self._out / f"{view.name}.parquet").unlink(missing_ok=True)
            self._files[view.name] = _VersionFile(view, self._out / f".{view.name}.parquet")
        return self

    def __exit__(self, failed: type[BaseException] | None, *_: object) -> None:
        if failed is None:
            self.flush()
        for file in self._files.values():
            file.close()
        for name, file in self._files.items():
            if failed is None:
                file.path.replace(self._out / f"{name}.parquet")
            else:
                file.path.unlink()

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
        """Record the rows that changed since the last flush."""
        for view in self._schema.views:
            keys = list(self._changed[view.name])
            if keys:
                self._files[view.name].append(keys, read_block(self._store, view, keys))
                self._changed[view.name].clear()

    def record(self, rows: VersionedRows, flushes: Ints) -> None:
        """Record versions as flushes after these stamps would, before the versions are written to the store.

        Of several versions of a row between two flushes the last one is recorded; those after the last flush are
        recorded by the next one.
        """
        for view in self._schema.views:
            written = rows[view.name].written()
            kept = self._kept(view.name, written.keys)
            flush = np.searchsorted(flushes, written.stamp)
            last: dict[tuple[Key, int], int] = {}
            for place in kept:
                last[written.keys[place], int(flush[place])] = place
            self._record_changed(view, {key for key, number in last if number == 0}, pending=not len(flushes))
            chosen = [place for (_, number), place in last.items() if number < len(flushes)]
            if chosen:
                block = written.block.take(written.index[chosen])
                self._files[view.name].append([written.keys[place] for place in chosen], block)
            self._changed[view.name].update((key, None) for key, number in last if number == len(flushes))

    def _record_changed(self, view: View, newer: set[Key], *, pending: bool) -> None:
        """Record the rows that changed since the last flush and have no newer version; not if there is no flush."""
        if not pending and (keys := [key for key in self._changed[view.name] if key not in newer]):
            self._files[view.name].append(keys, read_block(self._store, view, keys))
        if not pending:
            self._changed[view.name].clear()

    def _kept(self, view: str, keys: Sequence[Key]) -> list[int]:
        """Places of the keys that are recorded."""
        if view not in _SAMPLED:
            return list(range(len(keys)))
        sampled = {user: self._is_sampled(user) for user in {key[0] for key in keys}}
        if view == "user":
            self.users.update(user for user, chosen in sampled.items() if chosen)
        return [place for place, key in enumerate(keys) if sampled[key[0]]]

    def _is_sampled(self, user: str) -> bool:
        return (key64(user) % 10_000) < self._share * 10_000


class _VersionFile:
    """The Parquet file of a view's row versions."""

    def __init__(self, view: View, path: Path) -> None:
        self.path = path
        self._file = pq.ParquetWriter(path, _arrow_schema(view), compression="zstd")
        self._keys: list[Key] = []
        self._blocks: list[Block] = []
        self._bytes = 0

    def append(self, keys: Sequence[Key], block: Block) -> None:
        self._keys += keys
        self._blocks.append(block)
        self._bytes += block.nbytes
        if self._bytes >= GROUP_BYTES:
            self._write_group()

    def close(self) -> None:
        self._write_group()
        self._file.close()

    def _write_group(self) -> None:
        if self._keys:
            table = _table(self._keys, concatenate(self._blocks))
            self._file.write_table(table, row_group_size=table.num_rows)
        self._keys, self._blocks, self._bytes = [], [], 0


def _arrow_schema(view: View) -> pa.Schema:
    fields = [pa.field(entity, pa.string()) for entity in view.entities]
    for feature in view.features:
        kind = _TYPES[feature.dtype]
        fields.append(pa.field(feature.name, kind if feature.length == SCALAR else pa.list_(kind)))
    return pa.schema([*fields, pa.field("event_timestamp", pa.timestamp("us", tz="UTC"))])


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
    times = [block.floats(name) for name in TIMES if name in block.fixed]
    micros = np.rint(np.max(times, axis=0) * 1e6).astype(np.int64) if times else np.zeros(block.size, np.int64)
    columns["event_timestamp"] = pa.array(micros).cast(pa.timestamp("us", tz="UTC"))
    return pa.table(columns)


def _lists(values: np.ndarray, lengths: np.ndarray, kind: pa.DataType) -> pa.Array:
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(values, kind))
