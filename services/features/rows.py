"""Rows of a view side by side: `Block` holds many rows as arrays, so that folding and encoding are vectorised.

A `Row` is one stored row: an array, number or string per feature. Knows nothing of stores.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from services.features.feature import SCALAR, VARIABLE, Feature
from services.features.positions import is_folded
from services.features.schema import View

Row = dict[str, NDArray[np.generic]]
"""One row of a view: feature name -> array; a scalar feature is an array of no dimensions."""

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

DTYPES: dict[str, type] = {"float64": np.float64, "int64": np.int64, "string": object}


@dataclass(frozen=True)
class Ragged:
    """A feature whose length differs from row to row: all values in row order, and how many each row has."""

    values: NDArray[np.generic]
    lengths: Ints

    @property
    def row(self) -> Ints:
        """Index of the row of each value."""
        return np.repeat(np.arange(len(self.lengths)), self.lengths)


@dataclass(frozen=True)
class Block:
    """Rows of one view as columns: [R] for scalars, [R, length] for fixed lengths, `Ragged` otherwise."""

    view: View
    size: int
    fixed: dict[str, NDArray[np.generic]]
    ragged: dict[str, Ragged]

    def floats(self, name: str) -> Floats:
        """A fixed float64 column."""
        return self.fixed[name]  # type: ignore[return-value]

    def ints(self, name: str) -> Ints:
        """A fixed int64 column."""
        return self.fixed[name]  # type: ignore[return-value]

    def with_columns(self, fixed: dict[str, NDArray[np.generic]], ragged: dict[str, Ragged] | None = None) -> "Block":
        """A copy with some columns replaced."""
        return replace(self, fixed={**self.fixed, **fixed}, ragged={**self.ragged, **(ragged or {})})

    def take(self, rows: NDArray[np.integer]) -> "Block":
        """The rows at an index, in its order; a copy."""
        fixed = {name: column[rows] for name, column in self.fixed.items()}
        places: dict[int, tuple[Ints, Ints]] = {}  # columns of one table share their lengths
        ragged = {}
        for name, column in self.ragged.items():
            if id(column.lengths) not in places:
                places[id(column.lengths)] = _places(column.lengths, rows)
            index, lengths = places[id(column.lengths)]
            ragged[name] = Ragged(column.values[index], lengths)
        return Block(self.view, len(rows), fixed, ragged)

    @property
    def nbytes(self) -> int:
        """Memory of the columns, without that of strings."""
        ragged = sum(column.values.nbytes + column.lengths.nbytes for column in self.ragged.values())
        return sum(column.nbytes for column in self.fixed.values()) + ragged


def concatenate(blocks: Sequence[Block]) -> Block:
    """The rows of blocks of one view, of which there is at least one."""
    first = blocks[0]
    if len(blocks) == 1:
        return first
    fixed = {name: np.concatenate([block.fixed[name] for block in blocks]) for name in first.fixed}
    ragged = {
        name: Ragged(
            np.concatenate([block.ragged[name].values for block in blocks]),
            np.concatenate([block.ragged[name].lengths for block in blocks]),
        )
        for name in first.ragged
    }
    return Block(first.view, sum(block.size for block in blocks), fixed, ragged)


def _places(lengths: Ints, rows: NDArray[np.integer]) -> tuple[Ints, Ints]:
    """Index of the values of some rows of a `Ragged`, and how many each has."""
    taken = lengths[rows]
    before = np.cumsum(lengths) - lengths
    index = np.repeat(before[rows] - (np.cumsum(taken) - taken), taken) + np.arange(taken.sum())
    return index, taken


def default_value(feature: Feature) -> NDArray[np.generic]:
    """The feature's value in a row that was never written."""
    dtype = DTYPES[feature.dtype]
    if feature.length == VARIABLE:
        return np.zeros(0, dtype)
    shape = () if feature.length == SCALAR else (feature.length,)
    return np.full(shape, feature.default, dtype)


def default_column(feature: Feature, rows: int) -> NDArray[np.generic]:
    """A column of a fixed-length feature for `rows` rows that were never written."""
    default = default_value(feature)
    column = np.empty((rows, *default.shape), DTYPES[feature.dtype])
    column[:] = default
    return column


def default_block(view: View, rows: int) -> Block:
    """Rows that were never written."""
    varying = [feature for feature in view.features if feature.length == VARIABLE]
    fixed = {f.name: default_column(f, rows) for f in view.features if f.length != VARIABLE}
    return Block(view, rows, fixed, {f.name: Ragged(default_value(f), np.zeros(rows, np.int64)) for f in varying})


def scatter_rows(block: Block, there: NDArray[np.bool_]) -> Block:
    """Place the rows of a block where `there` [R] is true; rows elsewhere take defaults."""
    result = default_block(block.view, len(there))
    for name, column in block.fixed.items():
        result.fixed[name][there] = column
    for name, ragged in block.ragged.items():
        lengths = np.zeros(len(there), np.int64)
        lengths[there] = ragged.lengths
        result.ragged[name] = Ragged(ragged.values, lengths)
    return result


def pack_rows(view: View, rows: Sequence[Row | None]) -> Block:
    """Rows (None: never written, all defaults) side by side."""
    fixed: dict[str, NDArray[np.generic]] = {}
    ragged: dict[str, Ragged] = {}
    for feature in view.features:
        default = default_value(feature)
        values = [default if row is None else row[feature.name] for row in rows]
        if feature.length == VARIABLE:
            lengths = np.array([len(value) for value in values], np.int64)
            ragged[feature.name] = Ragged(np.concatenate(values) if values else default, lengths)
        else:
            # Zero-dimensional object arrays would stay arrays inside the column.
            plain = [value.item() for value in values] if feature.dtype == "string" else values
            fixed[feature.name] = np.array(plain, DTYPES[feature.dtype]).reshape(len(rows), *default.shape)
    return Block(view, len(rows), fixed, ragged)


def unpack_rows(block: Block) -> list[Row]:
    """The rows of a block, one by one; arrays are views into the block's."""
    columns: list[tuple[str, Sequence[NDArray[np.generic]]]] = []
    for feature in block.view.features:
        if feature.length == VARIABLE:
            ragged = block.ragged[feature.name]
            borders = np.r_[0, np.cumsum(ragged.lengths)].tolist()
            columns.append((feature.name, [ragged.values[a:b] for a, b in pairwise(borders)]))
        else:
            column = block.fixed[feature.name]
            # A string stays an object; numpy alone would make it a string array.
            rows = [np.asarray(value, column.dtype) for value in column] if column.ndim == 1 else list(column)
            columns.append((feature.name, rows))
    names = [name for name, _ in columns]
    return [dict(zip(names, values, strict=True)) for values in zip(*(column for _, column in columns), strict=True)]


def counts_by_type(block: Block, half_lives: int) -> Floats:
    """The event counts of a block as [rows, event types, half-lives]: a view, not a copy."""
    counts = block.floats("counts")
    return counts.reshape(block.size, counts.shape[1] // half_lives, half_lives)


def is_new(block: Block, row: Ints, position: Ints) -> NDArray[np.bool_]:
    """Whether each record [E] at `position` [E, 3] is new to its row.

    A record at or below a row's offset was folded before a crash and is skipped. Positions of another topic epoch
    are not comparable: such a record is new.
    """
    new: NDArray[np.bool_] = ~is_folded(position, block.ints("position")[row])
    return new


def newest_position(block: Block, row: Ints, position: Ints) -> Ints:
    """Positions [R, 3] after folding records at `position` [E, 3] into `row` [E]; records are in offset order."""
    result = block.ints("position").copy()
    is_fresh = is_new(block, row, position)
    result[row[is_fresh]] = position[is_fresh]
    return result
