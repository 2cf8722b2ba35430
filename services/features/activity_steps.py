"""Rows of an activity view after each of many deltas, for a replay that reads them in between.

`activity.fold` alone says what a delta does: sums are aged and added to, which is computed for all deltas at once; what
remains for one delta after the other is a multiplication and an addition. The results are those of folding the deltas
one by one, to the bit.
"""

from dataclasses import fields, replace

import numpy as np

from services.features import activity
from services.features.activity import DeltaColumns
from services.features.rows import Block, Floats, Ints, default_block
from services.features.schema import Schema
from services.features.tables import rank_in_group

NOT_SUMS = frozenset({"time_s", "last_value", "last_value_s"})
"""Numbers of activity rows that take the newest value; all others are sums."""


def fold_steps(schema: Schema, block: Block, row: Ints, deltas: DeltaColumns, position: Ints) -> Block:
    """The row of each delta [G] after it, in the order of the deltas.

    Args:
        schema: the feature schema.
        block: rows of an activity view, from before the deltas.
        row: [G] index into the block, per delta.
        deltas: the deltas in order of time: of two deltas of a row, the later one has a later time.
        position: [G, 3] position of the record of each delta; rising.
    """
    order, sizes = rounds(row, block.size)
    previous = _previous(row[order])
    deltas = _take(deltas, order)
    row = row[order]
    before_s = np.where(previous >= 0, deltas.time_s[previous], block.floats("time_s")[row])
    aged, added = _ageing(schema, block, deltas, before_s), _alone(schema, block, deltas)
    names = [name for name, column in block.fixed.items() if column.dtype == np.float64 and name not in NOT_SUMS]
    widths = np.cumsum([0, *(_wide(block, name).shape[1] for name in names)])
    start = np.concatenate([_wide(block, name) for name in names], axis=1)
    factor = np.concatenate([_wide(aged, name) for name in names], axis=1)
    sums = np.concatenate([_wide(added, name) for name in names], axis=1)
    last, begin = start[row[: sizes[0]]] if len(sizes) else start, 0
    for size in sizes:
        now = sums[begin : begin + size]
        now += last[:size] * factor[begin : begin + size]
        last, begin = now, begin + size
    columns = {
        name: sums[:, a:b].reshape(len(row), *block.fixed[name].shape[1:])
        for name, a, b in zip(names, widths, widths[1:], strict=False)
    }
    columns["time_s"] = np.maximum(deltas.time_s, before_s)
    if "last_value" in block.fixed:
        columns |= _last_values(block, row, deltas, previous)
    unsorted = np.argsort(order)
    whole = replace(added, fixed={**added.fixed, **columns}).take(unsorted)
    return whole.with_columns({"position": position})


def rounds(row: Ints, rows: int) -> tuple[Ints, list[int]]:
    """An order of G entries in rounds, each with at most one entry of a row, and the size of each round.

    The rows of a round are the first ones of the round before, in the same order: those with most entries come first.
    """
    counts = np.bincount(row, minlength=rows)
    place = np.empty(rows, np.int64)
    place[np.argsort(-counts, kind="stable")] = np.arange(rows)
    by_row = np.argsort(row, kind="stable")
    number = np.empty(len(row), np.int64)
    number[by_row] = rank_in_group(row[by_row])
    order = np.lexsort((place[row], number))
    return order, np.bincount(number).tolist()


def _previous(row: Ints) -> Ints:
    """Index of the entry before each one that has the same row, -1 for the first: [G]."""
    by_row = np.argsort(row, kind="stable")
    previous = np.full(len(row), -1)
    same = row[by_row][1:] == row[by_row][:-1]
    previous[by_row[1:][same]] = by_row[:-1][same]
    return previous


def _take(deltas: DeltaColumns, order: Ints) -> DeltaColumns:
    return DeltaColumns(**{field.name: getattr(deltas, field.name)[order] for field in fields(deltas)})


def _ageing(schema: Schema, block: Block, deltas: DeltaColumns, before_s: Floats) -> Block:
    """What remains at the time of each delta of sums that were 1 at `before_s`."""
    size = len(deltas)
    empty = default_block(block.view, size)
    ones = {name: np.ones_like(column) for name, column in empty.fixed.items() if column.dtype == np.float64}
    nothing = {f.name: np.zeros_like(getattr(deltas, f.name)) for f in fields(deltas) if f.name not in _KEPT}
    rows = empty.with_columns({**ones, "time_s": before_s})
    return activity.fold(schema, rows, np.arange(size), replace(deltas, **nothing), _positions(size))


def _alone(schema: Schema, block: Block, deltas: DeltaColumns) -> Block:
    """Rows to which each delta was the first."""
    size = len(deltas)
    return activity.fold(schema, default_block(block.view, size), np.arange(size), deltas, _positions(size))


_KEPT = ("group", "time_s")


def _positions(size: int) -> Ints:
    return np.zeros((size, 3), np.int64)


def _last_values(block: Block, row: Ints, deltas: DeltaColumns, previous: Ints) -> dict[str, Floats]:
    """Value last paid and its time after each delta."""
    value, time_s = deltas.last_value.copy(), deltas.last_value_s.copy()
    kept_value, kept_s = block.floats("last_value")[row], block.floats("last_value_s")[row]
    for entry in np.flatnonzero(time_s == 0).tolist():
        before = previous[entry]
        value[entry], time_s[entry] = (
            (value[before], time_s[before]) if before >= 0 else (kept_value[entry], kept_s[entry])
        )
    return {"last_value": value, "last_value_s": time_s}


def _wide(block: Block, name: str) -> Floats:
    return block.floats(name).reshape(block.size, -1)
