"""Reads the values that attributes have at labelled rows: of the context, the item, the item in the scenario, the user.

Reads the tables once more, a batch at a time; texts become codes. The latest version of an item or user counts. Knows
columns; checks nothing.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from export.datasets.check.columns import Floats, Hashes, Mask, TableReader, hash_strings
from export.datasets.tables import CATEGORIES, NUMBERS

SOURCES = {
    "context": ("context", "context_categories"),
    "item": ("attributes", "category_attributes"),
    "item_scenario": ("attributes", ""),
    "user": ("attributes", "category_attributes"),
}
"""Columns of numbers and of categories, by entity."""


@dataclass(frozen=True)
class AttributeAtRows:
    """An attribute at the labelled rows.

    Args:
        entity: what it describes: context, item, item_scenario or user.
        name: its name.
        categorical: its values are codes of texts, or of lists of texts.
        value: [R] values, NaN where a row has none.
        elsewhere: number of events without a label that have a value; 0 for attributes of items and users.
    """

    entity: str
    name: str
    categorical: bool
    value: Floats
    elsewhere: int = 0

    @property
    def share(self) -> float:
        """Share of the rows with a value."""
        return float((~np.isnan(self.value)).mean()) if len(self.value) else 0.0

    def __str__(self) -> str:
        """Entity and name, as in messages."""
        return f"{self.entity} {self.name}"


@dataclass
class _Values:
    """Values of the attributes of one entity and kind, as triples: owner (a row, or a key), name, value."""

    categorical: bool
    owners: list[npt.NDArray[np.uint64]] = field(default_factory=list)
    names: list[npt.NDArray[np.object_]] = field(default_factory=list)
    values: list[Floats] = field(default_factory=list)
    codes: dict[tuple[str, ...], int] = field(default_factory=dict)

    def add(self, owner: npt.NDArray[np.uint64], column: pa.Array) -> None:
        """Add the values of a column of maps, by the owner of each row."""
        begin, end = column.offsets[0].as_py(), column.offsets[-1].as_py()
        given = column.items.slice(begin, end - begin)
        self.owners.append(np.repeat(owner, np.diff(column.offsets.to_numpy())))
        self.names.append(column.keys.slice(begin, end - begin).to_numpy(zero_copy_only=False))
        if self.categorical:
            texts = (tuple(value) for value in given.to_pylist())
            self.values.append(np.array([self.codes.setdefault(text, len(self.codes)) for text in texts], np.float64))
        else:
            self.values.append(given.to_numpy(zero_copy_only=False).astype(np.float64))

    def by_name(self) -> Iterator[tuple[str, npt.NDArray[np.uint64], Floats]]:
        """Each attribute with its owners and values, in the order read."""
        if not self.owners:
            return
        owner, name, value = (np.concatenate(parts) for parts in (self.owners, self.names, self.values))
        for known in sorted(set(name.tolist())):
            mine = name == known
            yield known, owner[mine], value[mine]


@dataclass
class _LabelledRows:
    positive: Mask
    keys: dict[str, Hashes]
    context: tuple[_Values, _Values]
    elsewhere: dict[str, int]


def read_attributes(tables: TableReader) -> tuple[Mask, Iterator[AttributeAtRows]]:
    """Whether each labelled row is positive [R], and every attribute of the data at those rows, one after the other."""
    rows = _read_rows(tables)
    return rows.positive, _at_rows(tables, rows)


def _read_rows(tables: TableReader) -> _LabelledRows:
    labels: list[Mask] = [np.zeros(0, bool)]
    keys: dict[str, list[Hashes]] = {entity: [np.zeros(0, np.uint64)] for entity in ("item", "item_scenario", "user")}
    context, elsewhere, begin = (_Values(categorical=False), _Values(categorical=True)), dict[str, int](), 0
    for batch in _batches(tables, "events", ("user_id", "item_id", "scenario_id", "label", *SOURCES["context"])):
        labelled = batch["label"].is_valid()
        rows, others = batch.filter(labelled), batch.filter(pc.invert(labelled))
        labels.append(rows["label"].to_numpy(zero_copy_only=False) == 1)
        item, scenario = hash_strings(rows["item_id"]), hash_strings(rows["scenario_id"])
        for entity, key in (("item", item), ("item_scenario", _pair(item, scenario))):
            keys[entity].append(key)
        keys["user"].append(hash_strings(rows["user_id"]))
        numbers = begin + np.arange(rows.num_rows, dtype=np.uint64)
        begin += rows.num_rows
        for values, column in zip(context, SOURCES["context"], strict=True):
            values.add(numbers, _maps(rows, column))
            for name, count in _count_names(_maps(others, column)).items():
                elsewhere[name] = elsewhere.get(name, 0) + count
    joined = {entity: np.concatenate(parts) for entity, parts in keys.items()}
    return _LabelledRows(np.concatenate(labels), joined, context, elsewhere)


def _at_rows(tables: TableReader, rows: _LabelledRows) -> Iterator[AttributeAtRows]:
    row_numbers = np.arange(len(rows.positive), dtype=np.uint64)
    seen = set()
    for values in rows.context:
        for name, owner, value in values.by_name():
            seen.add(name)
            found = _look_up(owner, value, row_numbers)
            yield AttributeAtRows("context", name, values.categorical, found, rows.elsewhere.get(name, 0))
    for name in sorted(rows.elsewhere.keys() - seen):
        yield AttributeAtRows("context", name, False, np.full(len(rows.positive), np.nan), rows.elsewhere[name])
    for entity, given in _read_entities(tables).items():
        for values in given:
            for name, owner, value in values.by_name():
                found = _look_up(owner, value, rows.keys[entity])
                yield AttributeAtRows(entity, name, values.categorical, found)


def _read_entities(tables: TableReader) -> dict[str, tuple[_Values, _Values]]:
    """Values of items, items in scenarios and users, by hashes of their ids."""
    found = {e: (_Values(categorical=False), _Values(categorical=True)) for e in ("item", "item_scenario", "user")}
    for batch in _batches(tables, "items", ("item_id", "scenario_id", *SOURCES["item"])):
        of_item = batch["scenario_id"].is_null()
        own, placed = batch.filter(of_item), batch.filter(pc.invert(of_item))
        for values, column in zip(found["item"], SOURCES["item"], strict=True):
            values.add(hash_strings(own["item_id"]), _maps(own, column))
        pairs = _pair(hash_strings(placed["item_id"]), hash_strings(placed["scenario_id"]))
        found["item_scenario"][0].add(pairs, _maps(placed, "attributes"))
    for batch in _batches(tables, "users", ("user_id", *SOURCES["user"])):
        for values, column in zip(found["user"], SOURCES["user"], strict=True):
            values.add(hash_strings(batch["user_id"]), _maps(batch, column))
    return found


def _batches(tables: TableReader, table: str, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """Batches of the columns that the table has: imports from earlier versions have fewer."""
    there = tables.columns(table)
    yield from tables.batches(table, [name for name in columns if name in there])


def _maps(batch: pa.RecordBatch, column: str) -> pa.Array:
    """A column of maps; nulls where the table has no such column."""
    if column in batch.schema.names:
        return batch[column]
    return pa.nulls(batch.num_rows, CATEGORIES if "categor" in column else NUMBERS)


def _count_names(column: pa.Array) -> dict[str, int]:
    begin, end = column.offsets[0].as_py(), column.offsets[-1].as_py()
    counts = pc.value_counts(column.keys.slice(begin, end - begin)).to_pylist()
    return {each["values"]: each["counts"] for each in counts}


def _pair(item: Hashes, scenario: Hashes) -> Hashes:
    return item * np.uint64(0x9E3779B97F4A7C15) + scenario


def _look_up(owner: npt.NDArray[np.uint64], value: Floats, wanted: npt.NDArray[np.uint64]) -> Floats:
    """The latest value for each wanted key; NaN without one."""
    keys, last = np.unique(owner[::-1], return_index=True)
    place = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return np.where(keys[place] == wanted, value[::-1][last][place], np.nan)
