"""Declared attributes of users, items and requests: numbers, and categories as columns of zeros and ones.

Rows hold numbers as they are given, and categories as 64-bit keys of their values, SLOTS per attribute. So a vocabulary
may change without a new update of every item: the columns are made when a row is encoded. Pure; knows nothing of rows.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from services.features.hashing import NO_KEY, key64
from services.features.ids import find_id_fault

AttributeEntity = Literal["user", "item", "item_scenario", "context"]
AttributeKind = Literal["number", "category", "categories"]
Transform = Literal["identity", "log1p"]

SLOTS = 32
"""Most values of one attribute of categories."""

MOST_COLUMNS = 1000
"""Most values of a vocabulary, and most buckets: every item has each column in a ranking server's memory."""

MAX_ATTRIBUTE = 1e30
"""Numbers are clipped to this magnitude."""

Given = Mapping[str, Sequence[str]]
"""Values by attribute."""


class ListedValues(Protocol):
    """The values of one attribute, as messages hold them."""

    @property
    def values(self) -> Sequence[str]:
        """In the order given."""


@dataclass(frozen=True)
class Attribute:
    """An attribute declared in the settings, which becomes a feature without code.

    Args:
        name: key in the `attributes` (numbers) or `category_attributes` (categories) of an update or of a request's
            context.
        entity: what the attribute describes: `user`, `item`, `item_scenario` (numbers only) or `context`.
        transform: of a number, the form the model reads: the value itself, or sign(v) * log(1 + |v|).
        default: of a number, the value when it is not given.
        kind: `number`; `category`, one value; or `categories`, a list of values.
        values: vocabulary of the categories: a column per value, and one for all other values.
        buckets: instead of a vocabulary: number of columns that values are hashed into.
    """

    name: str
    entity: AttributeEntity
    transform: Transform = "identity"
    default: float = 0.0
    kind: AttributeKind = "number"
    values: tuple[str, ...] = ()
    buckets: int = 0

    def __post_init__(self) -> None:
        """Validate the fields; raises ValueError naming the attribute."""
        fault = self._number_fault() if self.kind == "number" else self._category_fault()
        if fault:
            raise ValueError(f"attribute {self.name!r} of entity {self.entity}: {fault}")

    def _number_fault(self) -> str:
        return "values and buckets are for the kinds category and categories" if self.values or self.buckets else ""

    def _category_fault(self) -> str:
        if self.entity == "item_scenario":
            return f"kind {self.kind} is for entity user, item and context; items in scenarios have numbers only"
        if self.transform != "identity" or self.default:
            return f"transform and default are for kind number, not {self.kind}"
        if bool(self.values) == bool(self.buckets):
            found = "both" if self.values else "neither"
            return f"give values, the vocabulary, or buckets, a number of hashed columns; found {found}"
        return self._vocabulary_fault() if self.values else self._buckets_fault()

    def _buckets_fault(self) -> str:
        good = 2 <= self.buckets <= MOST_COLUMNS
        return "" if good else f"buckets is {self.buckets}, must be 2 to {MOST_COLUMNS}"

    def _vocabulary_fault(self) -> str:
        if len(self.values) > MOST_COLUMNS:
            return f"values has {len(self.values)} entries, at most {MOST_COLUMNS}: use buckets"
        if len(set(self.values)) != len(self.values):
            return f"values has {next(v for v in self.values if self.values.count(v) > 1)!r} twice"
        bad = ((number, find_value_fault(value)) for number, value in enumerate(self.values))
        return next((f"values[{number}] {reason}" for number, reason in bad if reason), "")

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns that it is encoded as."""
        if self.kind == "number":
            return (self.name,)
        if self.buckets:
            return tuple(f"{self.name}#{bucket}" for bucket in range(self.buckets))
        return (*(f"{self.name}={value}" for value in self.values), f"{self.name}~unknown")


def find_value_fault(value: str) -> str | None:
    """Why the text is no value of a category, or None; the rules are those of ids."""
    return find_id_fault(value) if value else "is empty"


def category_values(field: Mapping[str, ListedValues]) -> dict[str, tuple[str, ...]]:
    """The values of attributes of categories, from a message's field; they do not keep the message in memory."""
    return {name: tuple(each.values) for name, each in field.items()}


def number_values(attributes: Sequence[Attribute], given: Mapping[str, float]) -> NDArray[np.float64]:
    """Numeric attributes in order, [A]; absent ones take their default."""
    return np.array([given.get(attribute.name, attribute.default) for attribute in attributes], np.float64)


def category_keys(attributes: Sequence[Attribute], given: Given) -> NDArray[np.int64]:
    """Keys of the values of categorical attributes, [C * SLOTS]; NO_KEY in slots without a value."""
    keys = np.full(len(attributes) * SLOTS, NO_KEY, np.int64)
    for number, attribute in enumerate(attributes):
        for slot, value in enumerate(given.get(attribute.name, ())[:SLOTS]):
            keys[number * SLOTS + slot] = key64(value)
    return keys


def expand_categories(attributes: Sequence[Attribute], keys: NDArray[np.int64]) -> NDArray[np.float32]:
    """Columns of zeros and ones for the keys [R, C * SLOTS] of categorical attributes: [R, columns]."""
    columns = np.zeros((len(keys), sum(len(attribute.columns) for attribute in attributes)), np.float32)
    first = 0
    for number, attribute in enumerate(attributes):
        own = keys[:, number * SLOTS : (number + 1) * SLOTS]
        row, slot = np.nonzero(own)
        columns[row, first + category_columns(attribute, own[row, slot])] = 1.0
        first += len(attribute.columns)
    return columns


def category_columns(attribute: Attribute, keys: NDArray[np.int64]) -> NDArray[np.int64]:
    """The column of each value of a categorical attribute, by key: bucket, place in the vocabulary, or the last one."""
    if attribute.buckets:
        return (keys.view(np.uint64) % np.uint64(attribute.buckets)).astype(np.int64)
    known, column = _vocabulary(attribute.values)
    place = np.minimum(np.searchsorted(known, keys), len(known) - 1)
    return np.where(known[place] == keys, column[place], len(known))


@lru_cache
def _vocabulary(values: tuple[str, ...]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The keys of the values, ascending, and the place of each in the vocabulary."""
    keys = np.array([key64(value) for value in values], np.int64)
    order = np.argsort(keys)
    return keys[order], order.astype(np.int64)


def transform_attributes(values: NDArray[np.floating], numbers: Sequence[Attribute]) -> NDArray[np.floating]:
    """Clip and transform attributes [R, A] as declared; columns after those of `numbers` stay as they are."""
    if not numbers:
        return values
    # Larger values overflow the single precision of tensors.
    bounded: NDArray[np.floating] = np.minimum(np.maximum(values, -MAX_ATTRIBUTE), MAX_ATTRIBUTE)
    for number, attribute in enumerate(numbers):
        if attribute.transform == "log1p":
            column = bounded[:, number]
            column[:] = np.copysign(np.log1p(np.abs(column)), column)
    return bounded
