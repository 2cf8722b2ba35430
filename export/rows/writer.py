"""Writes training rows to Parquet: the tensors of every labelled request, as the server would compute them.

Values that several rows share are stored once: `contexts` (per user, time and request context), `moments` (scenarios
per time), `texts` (vectors of item texts). Row group k of `rows` refers to row group k of `contexts`, and that to row
group k of `moments`, so that they can be streamed in parallel; groups have thousands of rows, however few share one
time.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from export.rows.provenance import digest_code
from export.rows.requests import CurrentRows, LabelledRequests, Snapshots, read_moments
from services.features.encode import Tensors, tensor_names
from services.features.encode_moments import InexactShift, MomentRows, encode_moments
from services.features.item_vectors import ItemVectors
from services.features.rows import Ints
from services.features.schema import Schema
from services.features.tables import run_starts
from services.settings.private_files import make_private_directory
from services.store.protocol import RowStore

FORMAT = 1
GROUP_ROWS = 16_384
"""Rows are buffered up to this number, then written as one row group per file."""
MOMENT_ROWS = 1024
"""Rows of several moments are encoded at once up to about this number."""
INFO_FILE = "training_rows.json"


class TrainingRowsWriter:
    """Writes the training rows of a replay; a context manager.

    Args:
        out: directory to fill.
        schema: the feature schema.
        encoder: fingerprint of the encoder.
        sources: scenarios in the order of the tensors.
        data: description of the source data, for training_rows.json.
        vectors_at: learned item vectors that requests at a time may see, asked in order of time; None: there are none.
    """

    def __init__(
        self,
        out: Path,
        schema: Schema,
        encoder: int,
        sources: Sequence[str],
        data: dict[str, Any],
        vectors_at: Callable[[float], ItemVectors] | None = None,
    ) -> None:
        make_private_directory(out)
        self._out, self._schema, self._encoder, self._sources, self._data = out, schema, encoder, list(sources), data
        self._vectors_at = vectors_at
        self._files: dict[str, pq.ParquetWriter] = {}
        self._buffered: dict[str, list[pa.Table]] = {"contexts": [], "moments": [], "rows": []}
        self._counts = {"rows": 0, "contexts": 0, "moments": 0, "texts": 0}
        self._texts: dict[bytes, int] = {}

    def __enter__(self) -> "TrainingRowsWriter":
        (self._out / INFO_FILE).unlink(missing_ok=True)
        return self

    def __exit__(self, failed: type[BaseException] | None, *_: object) -> None:
        self._write_group()
        for file in self._files.values():
            file.close()
        if failed is None:
            info = {
                "format": FORMAT,
                "schema_fingerprint": self._schema.fingerprint,
                "encoder_fingerprint": self._encoder,
                "sources": self._sources,
                "tensors": {name: list(names) for name, names in tensor_names(self._schema).items()},
                "features": asdict(self._schema.config),
                "code": digest_code(),
                "counts": self._counts,
                "data": self._data,
            }
            # Renamed into place: a half-written description would be taken for the rows' own.
            part = self._out / f".{INFO_FILE}"
            part.write_text(json.dumps(info, indent=2) + "\n")
            part.replace(self._out / INFO_FILE)

    def add(self, store: RowStore, requests: LabelledRequests) -> None:
        """Encode and write the requests of one time."""
        self.add_moments(CurrentRows(store), requests, np.zeros(len(requests.time_s), np.int64))

    def add_moments(self, snapshots: Snapshots, requests: LabelledRequests, stamp: Ints) -> None:
        """Encode and write requests of several times, in order of time; the rows are as of their stamps."""
        starts = np.flatnonzero(run_starts(stamp))
        # Whole times only, about MOMENT_ROWS rows at once.
        borders = starts[run_starts(starts // MOMENT_ROWS)].tolist()
        for begin, end in pairwise([*borders, len(stamp)]):
            part, own = requests.part(slice(begin, end)), stamp[begin:end]
            try:
                self._add(snapshots, part, own)
            except InexactShift:
                for first, last in pairwise([*np.flatnonzero(run_starts(own)).tolist(), end - begin]):
                    self._add(snapshots, part.part(slice(first, last)), own[first:last])

    def _add(self, snapshots: Snapshots, requests: LabelledRequests, stamp: Ints) -> None:
        moments = read_moments(snapshots, self._schema, self._encoder, self._sources, requests, stamp)
        vectors = [self._vectors_at(time_s) for time_s in moments.time_s.tolist()] if self._vectors_at else []
        rows, tensors = moments.rows, encode_moments(self._schema, moments, vectors)
        source = {scenario: number for number, scenario in enumerate(self._sources)}
        context = self._counts["contexts"] + rows.pair_request
        columns = {
            "request_id": requests.request_id,
            "user_id": requests.user,
            "scenario_id": requests.scenario,
            "item_id": requests.item,
            "split": requests.split,
            "label": requests.label.astype(np.int8),
            "sampling": np.full(len(requests.user), "", object) if requests.sampling is None else requests.sampling,
            "time_s": requests.time_s,
            "target": np.array([source[scenario] for scenario in requests.scenario], np.int32),
            "context": context.astype(np.int32),
            "text": self._text_numbers(tensors, rows.pair_item).astype(np.int32),
            "item": tensors.item,
            "cross": tensors.cross,
        }
        moment = (self._counts["moments"] + moments.request_moment).astype(np.int32)
        added = {
            "contexts": _table({"moment": moment, "behavior": tensors.behavior, "language": tensors.language}),
            "moments": _table({"time_s": moments.time_s, "scenario": tensors.scenario}),
            "rows": _table(columns),
        }
        self._collect(added, moments)

    def _text_numbers(self, tensors: Tensors, pair_item: Ints) -> Ints:
        """Index of each row's text vector in `texts`; new vectors are appended."""
        numbers, new = [], []
        _, first, item = np.unique(pair_item, return_index=True, return_inverse=True)
        for vector in tensors.item_text[first]:
            content = vector.tobytes()
            if content not in self._texts:
                self._texts[content] = len(self._texts)
                new.append(vector)
            numbers.append(self._texts[content])
        if new:
            self._write("texts", _table({"item_text": np.stack(new)}))
            self._counts["texts"] += len(new)
        return np.array(numbers)[item]

    def _collect(self, added: dict[str, pa.Table], moments: MomentRows) -> None:
        """Buffer tables of whole moments; a row group ends with the moment that fills it."""
        for name, table in added.items():
            self._counts[name] += table.num_rows
        ends = _ends(moments)
        done = dict.fromkeys(added, 0)
        buffered = sum(table.num_rows for table in self._buffered["rows"])
        for at, end in enumerate(ends["rows"].tolist()):
            is_full = buffered + end - done["rows"] >= GROUP_ROWS
            if is_full or at == len(ends["rows"]) - 1:
                for name, table in added.items():
                    stop = int(ends[name][at])
                    self._buffered[name].append(table.slice(done[name], stop - done[name]))
                    done[name] = stop
            if is_full:
                self._write_group()
                buffered = 0

    def _write_group(self) -> None:
        for name, tables in self._buffered.items():
            if tables:
                self._write(name, pa.concat_tables(tables))
                tables.clear()

    def _write(self, name: str, table: pa.Table) -> None:
        if name not in self._files:
            self._files[name] = pq.ParquetWriter(self._out / f"{name}.parquet", table.schema, compression="zstd")
        self._files[name].write_table(table, row_group_size=max(table.num_rows, 1))


def _ends(moments: MomentRows) -> dict[str, Ints]:
    """Per moment, the number of rows, contexts and moments up to its end: [M] each."""
    count = len(moments.time_s)
    pairs = np.bincount(moments.request_moment[moments.rows.pair_request], minlength=count)
    contexts = np.bincount(moments.request_moment, minlength=count)
    return {"rows": np.cumsum(pairs), "contexts": np.cumsum(contexts), "moments": np.arange(1, count + 1)}


def _table(columns: dict[str, np.ndarray]) -> pa.Table:
    return pa.table({column: _arrow(values) for column, values in columns.items()})


def _arrow(values: np.ndarray) -> pa.Array:
    if values.ndim == 1:
        return pa.array(values)
    flat = np.ascontiguousarray(values).reshape(-1)
    return pa.FixedSizeListArray.from_arrays(pa.array(flat), int(np.prod(values.shape[1:])))
