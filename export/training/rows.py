"""Training rows in memory, as arrays; batches of whole contexts for the models.

Knows the files that export/replay/training_rows.py writes; knows nothing of torch.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from services.runtime.errors import CrossRecError

Floats32 = NDArray[np.float32]
Ints = NDArray[np.int64]


class TrainingRowsError(CrossRecError):
    """The directory holds no usable training rows."""


@dataclass(frozen=True)
class Rows:
    """Labelled rows: R rows of K contexts (a user at a time) at T moments, V item texts, J source scenarios.

    Args:
        request_id: [R].
        split: [R] train, validation or test.
        label: [R] 0 or 1.
        target: [R] index of the target scenario.
        context: [R] index of the context.
        text: [R] index of the item's text vector.
        item: [R, X], cross: [R, J, C], behavior: [K, J, B], language: [K, J, D], moment: [K],
            scenario: [T, J, S], item_text: [V, D]: the tensors of services.features.encode.
        user: [R] user ids.
        item_id: [R] item ids.
        time_s: [R] request time, seconds since 1970.
    """

    request_id: NDArray[np.object_]
    split: NDArray[np.object_]
    label: Ints
    target: Ints
    context: Ints
    text: Ints
    item: Floats32
    cross: Floats32
    behavior: Floats32
    language: Floats32
    moment: Ints
    scenario: Floats32
    item_text: Floats32
    user: NDArray[np.object_]
    item_id: NDArray[np.object_]
    time_s: NDArray[np.float64]

    def where(self, mask: NDArray[np.bool_]) -> "Rows":
        """The rows of a mask [R]; contexts, moments and texts are shared, not copied."""
        shared = {"behavior", "language", "moment", "scenario", "item_text"}
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        return Rows(**{name: value if name in shared else value[mask] for name, value in values.items()})


@dataclass(frozen=True)
class Batch:
    """Some contexts with all their rows; `row_context` indexes into `contexts`."""

    contexts: Ints
    rows: Ints
    row_context: Ints


def read_info(directory: Path) -> dict[str, Any]:
    """What the rows were made from and with; TrainingRowsError if they are missing or incomplete."""
    path = directory / "training_rows.json"
    if not path.exists():
        raise TrainingRowsError(f"{directory} holds no complete training rows: run `crossrec replay`")
    info: dict[str, Any] = json.loads(path.read_text())
    if not info["counts"]["rows"]:
        raise TrainingRowsError(f"{directory}: no event has a label, so there is nothing to train on")
    return info


def read_rows(directory: Path) -> Rows:
    """All training rows of a replay."""
    info = read_info(directory)
    sources, names = len(info["sources"]), info["tensors"]
    rows = pq.ParquetFile(directory / "rows.parquet")
    contexts = pq.ParquetFile(directory / "contexts.parquet")
    text_dims = len(names["item_text"])
    scalars = {
        name: _column(rows, name)
        for name in ("request_id", "split", "label", "target", "context", "text", "user_id", "item_id", "time_s")
    }
    integers = {name: scalars[name].astype(np.int64) for name in ("label", "target", "context", "text")}
    return Rows(
        **integers,
        request_id=scalars["request_id"],
        split=scalars["split"],
        user=scalars["user_id"],
        item_id=scalars["item_id"],
        time_s=scalars["time_s"],
        item=_lists(rows, "item", len(names["item"])),
        cross=_lists(rows, "cross", sources, len(names["cross"])),
        behavior=_lists(contexts, "behavior", sources, len(names["behavior"])),
        language=_lists(contexts, "language", sources, text_dims),
        moment=_column(contexts, "moment").astype(np.int64),
        scenario=_lists(pq.ParquetFile(directory / "moments.parquet"), "scenario", sources, len(names["scenario"])),
        item_text=_lists(pq.ParquetFile(directory / "texts.parquet"), "item_text", text_dims),
    )


def batches(rows: Rows, contexts_per_batch: int, generator: np.random.Generator | None) -> Iterator[Batch]:
    """Every row once, by whole contexts; contexts are shuffled if there is a generator, so scenarios mix."""
    order = np.argsort(rows.context, kind="stable")
    present, starts = np.unique(rows.context[order], return_index=True)
    ends = np.append(starts[1:], len(order))
    sequence = np.arange(len(present)) if generator is None else generator.permutation(len(present))
    for begin in range(0, len(sequence), contexts_per_batch):
        chosen = sequence[begin : begin + contexts_per_batch]
        lengths = ends[chosen] - starts[chosen]
        index = np.repeat(starts[chosen] - np.cumsum(np.append(0, lengths[:-1])), lengths) + np.arange(lengths.sum())
        yield Batch(present[chosen], order[index], np.repeat(np.arange(len(chosen)), lengths))


def _column(file: pq.ParquetFile, name: str) -> NDArray[Any]:
    column = file.read(columns=[name]).column(0)
    result: NDArray[Any] = column.to_numpy()
    return result


def _lists(file: pq.ParquetFile, name: str, *shape: int) -> Floats32:
    """A column of fixed-size lists, filled in group by group so that only one copy is ever in memory."""
    result = np.empty((file.metadata.num_rows, *shape), np.float32)
    begin = 0
    for batch in file.iter_batches(65_536, columns=[name]):
        flat = batch.column(0).flatten().to_numpy(zero_copy_only=False)
        result[begin : begin + batch.num_rows] = flat.reshape(batch.num_rows, *shape)
        begin += batch.num_rows
    return result
