"""Streams training rows from Parquet: memory holds one shuffle buffer, however many rows there are.

Row group k of rows.parquet refers only to contexts in row group k of contexts.parquet, and those to moments in row
group k of moments.parquet. Knows the files that export/rows/writer.py writes; knows nothing of torch.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from export.rows.selection import Selection
from services.errors import CrossRecError
from services.features.hashing import keys64

Floats32 = NDArray[np.float32]
Ints = NDArray[np.int64]


class TrainingRowsError(CrossRecError):
    """The directory holds no usable training rows."""


@dataclass(frozen=True)
class RowBatch:
    """Whole contexts: R rows of K contexts (a user's at one time), in order of context; J source scenarios.

    Args:
        row: [R] row numbers in rows.parquet.
        label: [R] 0 or 1.
        target: [R] index of the target scenario.
        row_context: [R] index into the K contexts.
        text: [R] index into `texts`.
        item: [R, X], cross: [R, J, C]: the tensors of services.features.encode.
        context: [K] context numbers in contexts.parquet.
        time_s: [K] request time, seconds since 1970.
        behavior: [K, J, B], language: [K, J, D], scenario: [K, J, S].
        texts: [V, D] all item texts' vectors, shared by all batches.
        weight_of_source: [J] 1, or 0 for a dropped source scenario; shared.
    """

    row: Ints
    label: Ints
    target: Ints
    row_context: Ints
    text: Ints
    item: Floats32
    cross: Floats32
    context: Ints
    time_s: NDArray[np.float64]
    behavior: Floats32
    language: Floats32
    scenario: Floats32
    texts: Floats32
    weight_of_source: Floats32

    def __len__(self) -> int:
        """Number of rows."""
        return len(self.row)

    @property
    def item_text(self) -> Floats32:
        """Text vector of each row's item, [R, D]."""
        vectors: Floats32 = self.texts[self.text]
        return vectors

    def take(self, rows: Ints, contexts: Ints, row_context: Ints) -> "RowBatch":
        """Select rows and contexts; `row_context` is the new index of each row's context."""
        values = {name: getattr(self, name)[rows] for name in _ROW_FIELDS}
        values |= {name: getattr(self, name)[contexts] for name in _CONTEXT_FIELDS}
        shared = {name: getattr(self, name) for name in _SHARED_FIELDS}
        return RowBatch(**values, **shared, row_context=row_context)


_SHARED_FIELDS = ("texts", "weight_of_source")
_CONTEXT_FIELDS = ("context", "time_s", "behavior", "language", "scenario")
_ROW_FIELDS = tuple(
    f.name for f in fields(RowBatch) if f.name not in {*_SHARED_FIELDS, *_CONTEXT_FIELDS, "row_context"}
)


def read_info(directory: Path) -> dict[str, Any]:
    """Read training_rows.json; TrainingRowsError if the rows are missing or incomplete."""
    path = directory / "training_rows.json"
    if not path.exists():
        raise TrainingRowsError(f"{directory} holds no complete training rows: run `crossrec replay`")
    info: dict[str, Any] = json.loads(path.read_text())
    if not info["counts"]["rows"]:
        raise TrainingRowsError(f"{directory}: no event has a label, so there is nothing to train on")
    return info


class RowSource:
    """The rows of one split.

    Args:
        directory: output directory of the replay.
        split: train, validation or test.
        selection: rows, features and sources to drop; its shares apply to the split `train` only.
        batch_rows: rows per batch; exceeded by at most the last context's rows.
        buffer_rows: rows in memory at once; exceeded by at most one row group.
        part: (k, n) reads the k-th of n shares of the row groups, for n processes.
    """

    def __init__(
        self,
        directory: Path,
        split: str,
        selection: Selection | None = None,
        *,
        batch_rows: int = 4096,
        buffer_rows: int = 200_000,
        part: tuple[int, int] = (0, 1),
    ) -> None:
        self.info, self.directory, self.split = read_info(directory), directory, split
        self.sources: list[str] = self.info["sources"]
        self.tensors: dict[str, list[str]] = self.info["tensors"]
        self.widths = {name: len(names) for name, names in self.tensors.items()}
        self.selection = selection or Selection()
        self.selection.check(self.tensors, self.sources)
        self._batch_rows, self._buffer_rows = batch_rows, buffer_rows
        self._files = {name: pq.ParquetFile(directory / f"{name}.parquet") for name in ("rows", "contexts", "moments")}
        texts = pq.ParquetFile(directory / "texts.parquet").read().column("item_text").combine_chunks()
        self._texts = self._without_dropped("item_text", _array(texts, len(self.tensors["item_text"])))
        self._weights = np.array([source not in self.selection.dropped_sources for source in self.sources], np.float32)
        self._starts = {name: _group_starts(file) for name, file in self._files.items()}
        self.groups = [group for group in self._groups_of_split() if self._mask(group).any()][part[0] :: part[1]]

    @cached_property
    def rows_per_target(self) -> Ints:
        """Rows of each target scenario [J] after the selection."""
        counts = np.zeros(len(self.sources), np.int64)
        for group in self.groups:
            target = self._column(group, "target")[self._mask(group)]
            counts += np.bincount(target, minlength=len(counts))
        return counts

    @property
    def texts(self) -> Floats32:
        """All item texts' vectors [V, D]."""
        return self._texts

    def __len__(self) -> int:
        """Number of rows after the selection."""
        return int(self.rows_per_target.sum())

    def columns(self, *names: str) -> dict[str, NDArray[Any]]:
        """Read scalar columns of rows.parquet, and `row`, for all rows in order of row number."""
        masks = {group: self._mask(group) for group in self.groups}
        parts_of = {name: [self._column(group, name)[mask] for group, mask in masks.items()] for name in names}
        parts_of["row"] = [self._starts["rows"][group] + np.flatnonzero(mask) for group, mask in masks.items()]
        return {name: np.concatenate(parts) if parts else np.empty(0, object) for name, parts in parts_of.items()}

    def batches(self, generator: np.random.Generator | None = None) -> Iterator[RowBatch]:
        """Yield every row once, in whole contexts.

        With a generator: row groups in random order, contexts shuffled across the buffer, so that scenarios and
        times mix. Without: in order.
        """
        groups = self.groups if generator is None else [self.groups[k] for k in generator.permutation(len(self.groups))]
        for buffer in self._buffers(groups, 1 if generator is None else self._buffer_rows):
            bounds = np.flatnonzero(np.r_[True, np.diff(buffer.row_context) > 0, True])
            count = len(bounds) - 1
            yield from self._cut(
                buffer, bounds, np.arange(count) if generator is None else generator.permutation(count)
            )

    def _cut(self, buffer: RowBatch, bounds: Ints, sequence: Ints) -> Iterator[RowBatch]:
        lengths = np.diff(bounds)[sequence]
        number = (np.cumsum(lengths) - lengths) // self._batch_rows
        for chosen in np.split(np.arange(len(sequence)), np.flatnonzero(np.diff(number)) + 1):
            contexts, sizes = sequence[chosen], lengths[chosen]
            offset = np.repeat(bounds[contexts] - (np.cumsum(sizes) - sizes), sizes)
            yield buffer.take(offset + np.arange(len(offset)), contexts, np.repeat(np.arange(len(chosen)), sizes))

    def _buffers(self, groups: Sequence[int], wanted: int) -> Iterator[RowBatch]:
        """Read row groups until there are `wanted` rows, and concatenate them."""
        held: list[RowBatch] = []
        for place, group in enumerate(groups):
            held.append(self._read(group))
            if place == len(groups) - 1 or sum(map(len, held)) >= wanted:
                yield _concatenate(held)
                held = []

    def _read(self, group: int) -> RowBatch:
        """The selected rows of a row group, ordered by context."""
        mask = np.flatnonzero(self._mask(group))
        local = self._column(group, "context") - self._starts["contexts"][group]
        order = mask[np.argsort(local[mask], kind="stable")]
        present, row_context = np.unique(local[order], return_inverse=True)
        moment = self._column(group, "moment", "contexts")[present] - self._starts["moments"][group]
        scalars = {name: self._column(group, name)[order] for name in ("label", "target", "text")}
        item, cross = (self._tensor("rows", group, name)[order] for name in ("item", "cross"))
        return RowBatch(
            row=self._starts["rows"][group] + order,
            **scalars,
            row_context=row_context,
            item=item,
            cross=cross,
            context=self._starts["contexts"][group] + present,
            time_s=self._column(group, "time_s", "moments")[moment],
            behavior=self._tensor("contexts", group, "behavior")[present],
            language=self._tensor("contexts", group, "language")[present],
            scenario=self._tensor("moments", group, "scenario")[moment],
            texts=self._texts,
            weight_of_source=self._weights,
        )

    def _groups_of_split(self) -> list[int]:
        """Row groups that may hold rows of the split, according to the file's statistics."""
        metadata = self._files["rows"].metadata
        place = next(k for k in range(metadata.num_columns) if metadata.schema.column(k).path == "split")
        groups = []
        for group in range(metadata.num_row_groups):
            statistics = metadata.row_group(group).column(place).statistics
            if statistics is None or not statistics.has_min_max or statistics.min <= self.split <= statistics.max:
                groups.append(group)
        return groups

    def _mask(self, group: int) -> NDArray[np.bool_]:
        """Mask of the rows of a row group in the split and the selection."""
        mask: NDArray[np.bool_] = self._column(group, "split") == self.split
        if self.split != "train":
            return mask
        if self.selection.target_share:
            context, target = self._column(group, "context"), self._column(group, "target")
            mask = mask & self.selection.mask_rows(context, target, self.sources)
        if self.selection.user_share < 1:
            users, number = np.unique(self._column(group, "user_id").astype(str), return_inverse=True)
            mask = mask & self.selection.mask_users(keys64(users))[number]
        return mask

    def _column(self, group: int, name: str, file: str = "rows") -> NDArray[Any]:
        column: NDArray[Any] = self._files[file].read_row_group(group, columns=[name]).column(0).to_numpy()
        return column.astype(np.int64) if np.issubdtype(column.dtype, np.integer) else column

    def _tensor(self, file: str, group: int, name: str) -> Floats32:
        """A tensor of a row group, [rows, width] or [rows, J, width]."""
        values = self._files[file].read_row_group(group, columns=[name]).column(0).combine_chunks()
        shape = (len(self.tensors[name]),) if name == "item" else (len(self.sources), len(self.tensors[name]))
        return self._without_dropped(name, _array(values, *shape))

    def _without_dropped(self, tensor: str, values: Floats32) -> Floats32:
        """The values with dropped features set to 0, which is then their mean, too."""
        dropped = [f"{tensor}/{name}" in self.selection.dropped_features for name in self.tensors[tensor]]
        if not any(dropped):
            return values
        return np.where(dropped, np.float32(0), values)


def _group_starts(file: pq.ParquetFile) -> Ints:
    """Index of the first row of each row group."""
    sizes = [file.metadata.row_group(group).num_rows for group in range(file.metadata.num_row_groups)]
    return np.cumsum([0, *sizes], dtype=np.int64)


def _array(values: pa.Array, *shape: int) -> Floats32:
    array: Floats32 = values.flatten().to_numpy(zero_copy_only=False).reshape(len(values), *shape)
    return array


def _concatenate(parts: list[RowBatch]) -> RowBatch:
    """Concatenate batches."""
    if len(parts) == 1:
        return parts[0]
    first = np.cumsum([0, *(len(part.context) for part in parts)])
    values = {
        name: np.concatenate([getattr(part, name) for part in parts]) for name in (*_ROW_FIELDS, *_CONTEXT_FIELDS)
    }
    row_context = np.concatenate([part.row_context + start for part, start in zip(parts, first, strict=False)])
    shared = {name: getattr(parts[0], name) for name in _SHARED_FIELDS}
    return RowBatch(**values, **shared, row_context=row_context)
