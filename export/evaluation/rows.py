"""The rows to evaluate on: labels, groups, item texts, and which rows are cold.

Knows the files that export/rows/writer.py writes and streams them, so that memory holds the features of
one batch; knows nothing of models.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from export.evaluation.groups import Floats, Ints
from export.evaluation.measure import GroupedRows
from export.rows.reader import read_info
from services.errors import CrossRecError
from services.features.event_types import EVENT_TYPES

Mask = NDArray[np.bool_]

SPLITS = ("validation", "test")
SAMPLED = {
    "uniform_negatives": ("uniform", "the positives, and negatives drawn from all items equally"),
    "popularity_negatives": ("popularity", "the positives, and negatives drawn by their number of engagements so far"),
}
"""Segments by how their negatives were drawn: the value of column sampling, and the meaning."""
BATCH_ROWS = 65_536
_IDS = ("user_id", "request_id", "item_id")


class EvaluationError(CrossRecError):
    """Rows, runs or figures cannot be evaluated; the text names them and the reason."""


@dataclass(frozen=True)
class EvaluationRows:
    """The rows of splits validation and test, in the order of rows.parquet.

    Args:
        number: [R] row number in rows.parquet.
        split: [R] validation or test.
        target: [R] index of the target scenario in `sources`.
        grouped: labels, groups and texts.
        cold_item: [R] no event with the item before the request.
        cold_user: [R] no event of the user before the request.
        sampling: [R] how a negative was drawn; "" for other rows.
        sources: the scenarios.
        total: rows in rows.parquet.
        split_name: how the rows were split anew; "" for the data set's own splits.
    """

    number: Ints
    split: NDArray[np.str_]
    target: Ints
    grouped: GroupedRows
    cold_item: Mask
    cold_user: Mask
    sampling: NDArray[np.str_]
    sources: Sequence[str]
    total: int
    split_name: str = ""

    def subsets(self) -> dict[str, Mask]:
        """Rows of split test by name: all, each target scenario that has some, and the segments (may be empty)."""
        test = self.split == "test"
        scenarios = {name: test & (self.target == place) for place, name in enumerate(self.sources)}
        cold = self.cold_item | self.cold_user
        return {
            "all": test,
            **{name: mask for name, mask in scenarios.items() if mask.any()},
            "cold_items": test & self.cold_item,
            "cold_users": test & self.cold_user,
            "warm": test & ~cold,
            **self._by_sampling(test),
        }

    @property
    def segments(self) -> dict[str, str]:
        """Meaning of the segments among the subsets."""
        kinds = self._by_sampling(self.split == "test")
        return {**SEGMENTS, **{name: SAMPLED[name][1] for name in kinds}}

    def _by_sampling(self, test: Mask) -> dict[str, Mask]:
        """The test rows of each kind of drawn negatives, with all positives; nothing unless there are several kinds."""
        positive = self.grouped.label == 1
        negatives = {name: test & (self.sampling == kind) for name, (kind, _) in SAMPLED.items()}
        drawn = {name: mask | (test & positive) for name, mask in negatives.items() if mask.any()}
        return drawn if len(drawn) > 1 else {}

    def negatives(self) -> dict[str, int]:
        """Negative test rows by how they were drawn; `given`: shown to the user, or in the data."""
        drawn = self.sampling[(self.split == "test") & (self.grouped.label == 0)]
        kinds = {kind: int((drawn == kind).sum()) for kind, _ in SAMPLED.values()}
        return {**kinds, "given": len(drawn) - sum(kinds.values())}


SEGMENTS = {
    "cold_items": "items without any event before the request",
    "cold_users": "users without any event before the request",
    "warm": "item and user both have events before the request",
}


def select_rows(rows: GroupedRows, mask: Mask) -> GroupedRows:
    """Some of the rows; requests are renumbered, users keep their codes."""
    request = np.unique(rows.request[mask], return_inverse=True)[1].astype(np.int64)
    chosen = (rows.label[mask], rows.user[mask], request, rows.item[mask], rows.text[mask])
    return GroupedRows(*chosen, rows.vectors, rows.users)


def read_evaluation_rows(directory: Path) -> EvaluationRows:
    """Validation and test rows of a replay's directory; EvaluationError if there are no test rows."""
    info = read_info(directory)
    file = pq.ParquetFile(directory / "rows.parquet")
    table = pa.concat_tables(_read_scalars(file))
    if not pc.any(pc.equal(table["split"], "test")).as_py():
        raise EvaluationError(f"{directory}: no labelled row has split test, so there is nothing to evaluate on")
    ids = {name: _encode_ids(table[name]) for name in _IDS}
    number, context = _as_ints(table["number"]), _as_ints(table["context"])
    grouped = GroupedRows(
        label=_as_ints(table["label"]),
        user=ids["user_id"],
        request=ids["request_id"],
        item=ids["item_id"],
        text=_as_ints(table["text"]),
        vectors=_unit_vectors(directory / "texts.parquet"),
        users=int(ids["user_id"].max()) + 1,
    )
    return EvaluationRows(
        number=number,
        split=table["split"].to_numpy().astype(str),
        target=_as_ints(table["target"]),
        grouped=grouped,
        cold_item=_all_zero(file, "item", _item_columns(info["tensors"]["item"]))[number],
        cold_user=_cold_contexts(directory, info)[context],
        sampling=table["sampling"].to_numpy().astype(str),
        sources=info["sources"],
        total=file.metadata.num_rows,
        split_name=info.get("split", ""),
    )


def _read_scalars(file: pq.ParquetFile) -> Iterator[pa.Table]:
    """Scalar columns of the validation and test rows with their row numbers, batch by batch."""
    begin, columns = 0, ["split", "label", "target", "context", "text", "sampling", *_IDS]
    for batch in file.iter_batches(BATCH_ROWS, columns=columns):
        numbers = pa.array(np.arange(begin, begin + batch.num_rows))
        begin += batch.num_rows
        table = pa.Table.from_batches([batch]).append_column("number", numbers)
        if "sampling" not in table.column_names:  # rows of an earlier version
            table = table.append_column("sampling", pa.array([""] * len(table)))
        yield table.filter(pc.is_in(table["split"], pa.array(SPLITS)))


def _as_ints(column: pa.ChunkedArray) -> Ints:
    result: Ints = column.to_numpy().astype(np.int64)
    return result


def _encode_ids(column: pa.ChunkedArray) -> Ints:
    result: Ints = column.combine_chunks().dictionary_encode().indices.to_numpy().astype(np.int64)
    return result


def _unit_vectors(path: Path) -> Floats:
    column = pq.read_table(path, columns=["item_text"]).column(0).combine_chunks()
    vectors = column.flatten().to_numpy().reshape(len(column), -1).astype(np.float64)
    norm = np.linalg.norm(vectors, axis=1, keepdims=True)
    result: Floats = vectors / np.where(norm > 0, norm, 1.0)
    return result


def _item_columns(names: Sequence[str]) -> Ints:
    return np.flatnonzero([name.startswith(("item_engagement_", "item_impression_")) for name in names])


def _cold_contexts(directory: Path, info: dict[str, Any]) -> Mask:
    """Which contexts are of users without any event [K]. Totals over all scenarios repeat in each: one is enough."""
    names = info["tensors"]["behavior"]
    starts = tuple(f"all_{kind}_" for kind in EVENT_TYPES)
    columns = np.flatnonzero([name.startswith(starts) for name in names])
    return _all_zero(pq.ParquetFile(directory / "contexts.parquet"), "behavior", columns)


def _all_zero(file: pq.ParquetFile, name: str, columns: Ints) -> Mask:
    """Where some columns of a list column are all 0 [rows]."""
    result = np.empty(file.metadata.num_rows, bool)
    begin = 0
    for batch in file.iter_batches(BATCH_ROWS, columns=[name]):
        values = batch.column(0).flatten().to_numpy(zero_copy_only=False).reshape(batch.num_rows, -1)
        result[begin : begin + batch.num_rows] = ~values[:, columns].any(axis=1)
        begin += batch.num_rows
    return result
