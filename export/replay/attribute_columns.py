"""Attributes in the tables of a data set as arrays, as the settings declare them.

An attribute of the data that is not declared is no feature, which the check of the data set reports. One that is given
in another kind than it is declared with is an error, since all its values would silently be missing.
"""

from collections.abc import Iterator, Sequence
from typing import TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from export.datasets.errors import DatasetError
from services.features.attributes import SLOTS, Attribute, AttributeEntity, category_columns
from services.features.config import FeatureConfig
from services.features.hashing import keys64
from services.features.rows import Floats, Ints

Column: TypeAlias = pa.ChunkedArray | None
"""A column of maps; None: the data has no such column."""


def number_columns(column: Column, declared: Sequence[Attribute], rows: int) -> Floats:
    """Declared numbers, [rows, A]; defaults where a map lacks one."""
    values = np.tile(np.array([a.default for a in declared], np.float64), (rows, 1))
    if column is None or not declared:
        return values
    maps = column.combine_chunks()
    row = np.repeat(np.arange(rows), np.diff(maps.offsets.to_numpy()))
    for number, attribute in enumerate(declared):
        given = pc.equal(maps.keys, attribute.name).to_numpy(zero_copy_only=False)
        values[row[given], number] = maps.items.to_numpy(zero_copy_only=False)[given]
    return values


def key_columns(column: Column, declared: Sequence[Attribute], rows: int) -> Ints:
    """Keys of the values of declared categories, [rows, C * SLOTS], as rows of the store hold them."""
    keys = np.zeros((rows, len(declared) * SLOTS), np.int64)
    for number, (row, slot, key) in enumerate(_values_of(column, declared)):
        keys[row, number * SLOTS + slot] = key
    return keys


def hot_columns(column: Column, declared: Sequence[Attribute], rows: int) -> Floats:
    """Declared categories as columns of zeros and ones, [rows, columns], as requests hold them."""
    columns = np.zeros((rows, sum(len(attribute.columns) for attribute in declared)))
    first = 0
    for attribute, (row, _, key) in zip(declared, _values_of(column, declared), strict=True):
        columns[row, first + category_columns(attribute, key)] = 1.0
        first += len(attribute.columns)
    return columns


def context_columns(events: pa.Table, config: FeatureConfig) -> Floats:
    """Context of events as it is encoded: numbers, then categories, [E, A]. Raises DatasetError."""
    check_kinds("events", events, config, "context", ("context", "context_categories"))
    rows = events.num_rows
    numbers = number_columns(_column(events, "context"), config.numbers_of("context"), rows)
    declared = config.categories_of("context")
    if not declared:
        return numbers
    return np.concatenate([numbers, hot_columns(_column(events, "context_categories"), declared, rows)], axis=1)


def check_kinds(
    table: str, rows: pa.Table, config: FeatureConfig, entity: AttributeEntity, columns: tuple[str, str]
) -> None:
    """Raise DatasetError for an attribute whose values are of another kind than it is declared with.

    `columns` are those of the numbers and of the categories.
    """
    kinds = {attribute.name: attribute.kind for attribute in config.attributes_of(entity)}
    if not kinds:
        return
    for column, found in zip(columns, ("numbers", "texts"), strict=True):
        given = _names(_column(rows, column))
        for name, kind in kinds.items():
            if name in given and (kind == "number") != (found == "numbers"):
                remedy = "declare it as category or categories" if found == "texts" else "write it as texts"
                where = f"{table}: column {columns[0]} has {found} for {name!r}"
                raise DatasetError(f"{where}, which features.attributes declares with kind {kind}: {remedy}")
    for attribute in config.categories_of(entity):
        if attribute.kind == "category":
            for row, slot, _ in _values_of(_column(rows, columns[1]), [attribute]):
                if (slot > 0).any():
                    raise DatasetError(
                        f"{table} row {int(row[slot > 0][0]) + 1}: column {columns[0]} has several values for "
                        f"{attribute.name!r}, which features.attributes declares with kind category: declare categories"
                    )


def _column(rows: pa.Table, name: str) -> Column:
    return rows[name] if name in rows.column_names else None


def _names(column: Column) -> set[str]:
    return set() if column is None else set(pc.unique(column.combine_chunks().keys).to_pylist())


def _values_of(column: Column, declared: Sequence[Attribute]) -> Iterator[tuple[Ints, Ints, Ints]]:
    """Row, place in its list, and key of each value, per attribute: [V] each."""
    nothing = np.zeros(0, np.int64)
    if column is None:
        yield from ((nothing, nothing, nothing) for _ in declared)
        return
    maps = column.combine_chunks()
    row_of_pair = np.repeat(np.arange(len(column)), np.diff(maps.offsets.to_numpy()))
    for attribute in declared:
        given = np.flatnonzero(pc.equal(maps.keys, attribute.name).to_numpy(zero_copy_only=False))
        lists = maps.items.take(pa.array(given))
        lengths = pc.fill_null(pc.list_value_length(lists), 0).to_numpy(zero_copy_only=False).astype(np.int64)
        encoded = pc.list_flatten(lists).dictionary_encode()
        key = keys64(encoded.dictionary.to_pylist())[encoded.indices.to_numpy(zero_copy_only=False)]
        slot = np.arange(len(key)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        yield np.repeat(row_of_pair[given], lengths), slot, key.astype(np.int64)
