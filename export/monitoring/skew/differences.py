"""Differences between served and replayed tensors, per column: how many values, how large, and an example.

Knows column names and which columns depend on the user's rows alone; knows nothing of where tensors come from.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

USER_TENSORS = ("behavior", "language")
"""Tensors computed from the user's own rows and the request alone."""

Floats = NDArray[np.float64]


def user_columns(tensor: str, names: tuple[str, ...]) -> NDArray[np.bool_]:
    """Mask of the columns computed from the user's own rows alone; `returns_due` and prices use all users' rows."""
    if tensor in USER_TENSORS:
        return np.ones(len(names), bool)
    shared = ("returns_due", "price_to_habit")
    return np.array([name.startswith("user_") and not name.endswith(shared) for name in names], bool)


@dataclass(frozen=True)
class LargestDifference:
    """Where a column differs most: answer, source scenario and item ("" where the tensor has no such axis)."""

    answer_id: str
    scenario: str
    item: str
    served: float
    replayed: float


@dataclass(frozen=True)
class ColumnDifference:
    """A column with values that differ.

    Args:
        tensor: name of the tensor.
        feature: name of the column.
        values: number of compared values.
        differing: number of values that differ beyond the tolerance.
        largest: largest absolute difference.
        mean: mean absolute difference over all values.
        example: where the difference is largest.
    """

    tensor: str
    feature: str
    values: int
    differing: int
    largest: float
    mean: float
    example: LargestDifference


@dataclass(frozen=True)
class ServedTensors:
    """Labels of the axes of a request's tensors: the answer, its source scenarios, the items that have features."""

    answer_id: str
    sources: tuple[str, ...]
    items: tuple[str, ...]


class DifferenceStats:
    """Accumulates comparisons of tensors.

    Args:
        names: column names of each tensor.
        tolerance: a value differs if it deviates by more than this: absolute, or relative to the replayed value
            where that is above 1.
    """

    def __init__(self, names: Mapping[str, tuple[str, ...]], tolerance: float) -> None:
        self._names, self._tolerance = names, tolerance
        self._values, self._differing, self._total, self._largest = (
            {tensor: np.zeros(len(columns)) for tensor, columns in names.items()} for _ in range(4)
        )
        self._examples: dict[tuple[str, int], LargestDifference] = {}

    @property
    def values(self) -> int:
        """Number of compared values."""
        return int(sum(counts.sum() for counts in self._values.values()))

    def add(
        self, tensor: str, served: np.ndarray, replayed: np.ndarray, columns: NDArray[np.bool_], where: ServedTensors
    ) -> None:
        """Compare some columns of a tensor of one request. Raises ValueError for tensors of different shapes."""
        if served.shape != replayed.shape:
            raise ValueError(f"{tensor}: served {served.shape}, replayed {replayed.shape}")
        ours, theirs = (array.reshape(-1, array.shape[-1]).astype(np.float64) for array in (served, replayed))
        off = np.where(np.isnan(ours) & np.isnan(theirs), 0.0, np.abs(ours - theirs))
        off = np.where(np.isnan(off), np.inf, off)
        differing = (off > self._tolerance * np.maximum(1.0, np.nan_to_num(np.abs(theirs)))) & columns
        self._values[tensor] += len(off) * columns
        self._differing[tensor] += differing.sum(axis=0)
        self._total[tensor] += off.sum(axis=0) * columns
        largest = off.max(axis=0, initial=0.0) * columns
        for column in np.flatnonzero(differing.any(axis=0) & (largest > self._largest[tensor])).tolist():
            row = int(off[:, column].argmax())
            place = np.unravel_index(row, served.shape[:-1])
            values = float(ours[row, column]), float(theirs[row, column])
            self._examples[tensor, column] = _example(tensor, place, where, *values)
        self._largest[tensor] = np.maximum(self._largest[tensor], largest)

    def differing_columns(self) -> Iterator[ColumnDifference]:
        """The columns that differ, in the order of the tensors."""
        for tensor, names in self._names.items():
            for column in np.flatnonzero(self._differing[tensor]).tolist():
                values = self._values[tensor][column]
                yield ColumnDifference(
                    tensor,
                    names[column],
                    int(values),
                    int(self._differing[tensor][column]),
                    float(self._largest[tensor][column]),
                    float(self._total[tensor][column] / values),
                    self._examples[tensor, column],
                )


_AXES = {
    "scenario": ("scenario",),
    "behavior": ("request", "scenario"),
    "language": ("request", "scenario"),
    "item": ("item",),
    "item_text": ("item",),
    "cross": ("item", "scenario"),
}
"""Meaning of each axis of a tensor except the last."""


def _example(
    tensor: str, place: tuple[np.intp, ...], where: ServedTensors, served: float, replayed: float
) -> LargestDifference:
    at = {axis: int(number) for axis, number in zip(_AXES[tensor], place, strict=True)}
    scenario = where.sources[at["scenario"]] if "scenario" in at else ""
    item = where.items[at["item"]] if "item" in at else ""
    return LargestDifference(where.answer_id, scenario, item, served, replayed)
