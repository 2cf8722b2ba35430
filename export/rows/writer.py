"""Writes training rows to Parquet: the tensors of every labelled request, as the server would compute them.

Values that several rows share are stored once: `contexts` (per user, time and request context), `moments` (scenarios
per time), `texts` (vectors of item texts). Row group k of `rows` refers to row group k of `contexts`, and that to row
group k of `moments`, so that they can be streamed in parallel; groups have thousands of rows, however few share one
time.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from export.rows.requests import LabelledRequests, read_feature_rows
from services.features.encode import Tensors, encode, tensor_names
from services.features.schema import Schema
from services.settings.private_files import make_private_directory
from services.store.protocol import RowStore

FORMAT = 1
GROUP_ROWS = 16_384
"""Rows are buffered up to this number, then written as one row group per file."""
INFO_FILE = "training_rows.json"


class TrainingRowsWriter:
    """Writes the training rows of a replay; a context manager.

    Args:
        out: directory to fill.
        schema: the feature schema.
        encoder: fingerprint of the encoder.
        sources: scenarios in the order of the tensors.
        data: description of the source data, for training_rows.json.
    """

    def __init__(self, out: Path, schema: Schema, encoder: int, sources: Sequence[str], data: dict[str, Any]) -> None:
        make_private_directory(out)
        self._out, self._schema, self._encoder, self._sources, self._data = out, schema, encoder, list(sources), data
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
                "counts": self._counts,
                "data": self._data,
            }
            (self._out / INFO_FILE).write_text(json.dumps(info, indent=2) + "\n")

    def add(self, store: RowStore, requests: LabelledRequests) -> None:
        """Encode and write the requests of one time."""
        rows = read_feature_rows(store, self._schema, self._encoder, self._sources, requests)
        tensors = encode(self._schema, rows)
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
        moments = np.full(rows.user.size, self._counts["moments"], np.int32)
        self._collect("contexts", {"moment": moments, "behavior": tensors.behavior, "language": tensors.language})
        self._collect("moments", {"time_s": requests.time_s[:1], "scenario": tensors.scenario[None]})
        self._collect("rows", columns)
        if sum(table.num_rows for table in self._buffered["rows"]) >= GROUP_ROWS:
            self._write_group()

    def _text_numbers(self, tensors: Tensors, pair_item: np.ndarray) -> np.ndarray:
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

    def _collect(self, name: str, columns: dict[str, np.ndarray]) -> None:
        table = _table(columns)
        self._buffered[name].append(table)
        self._counts[name] += table.num_rows

    def _write_group(self) -> None:
        for name, tables in self._buffered.items():
            if tables:
                self._write(name, pa.concat_tables(tables))
                tables.clear()

    def _write(self, name: str, table: pa.Table) -> None:
        if name not in self._files:
            self._files[name] = pq.ParquetWriter(self._out / f"{name}.parquet", table.schema, compression="zstd")
        self._files[name].write_table(table, row_group_size=max(table.num_rows, 1))


def _table(columns: dict[str, np.ndarray]) -> pa.Table:
    return pa.table({column: _arrow(values) for column, values in columns.items()})


def _arrow(values: np.ndarray) -> pa.Array:
    if values.ndim == 1:
        return pa.array(values)
    flat = np.ascontiguousarray(values).reshape(-1)
    return pa.FixedSizeListArray.from_arrays(pa.array(flat), int(np.prod(values.shape[1:])))
