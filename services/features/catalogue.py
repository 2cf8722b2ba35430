"""Rows of items and scenarios from catalogue updates: text, categories, price, attributes.

An update is the whole new state; the newest time wins, whatever the order of arrival. Text vectors are arguments: the
caller encodes texts.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from services.features.attributes import Given, category_keys, number_values
from services.features.hashing import facet_keys
from services.features.positions import is_folded
from services.features.rows import Block, Floats, Ints, Row, default_value, is_new, newest_position
from services.features.schema import Schema, View


@dataclass(frozen=True)
class ItemState:
    """The state in an ItemUpdate. `time_s` in seconds since 1970; `price` -1 if unknown."""

    time_s: float
    title: str = ""
    description: str = ""
    categories: Sequence[str] = ()
    brand: str = ""
    price: float = -1.0
    attributes: Mapping[str, float] = field(default_factory=dict)
    category_attributes: Given = field(default_factory=dict)

    @property
    def text(self) -> str:
        """The encoder's input: title, description, categories, the most telling part first."""
        return ". ".join(part for part in (self.title, self.description, ", ".join(self.categories)) if part)


@dataclass(frozen=True)
class ScenarioState:
    """The state in a ScenarioUpdate."""

    time_s: float
    name: str = ""
    description: str = ""

    @property
    def text(self) -> str:
        """The encoder's input."""
        return ". ".join(part for part in (self.name, self.description) if part)


CatalogueState = ItemState | ScenarioState


def is_deleted(row: Row) -> bool:
    """Whether a row of an item or a scenario has no state: a tombstone reset it."""
    return not float(row["updated_s"])


def fold(
    schema: Schema,
    view: View,
    row: Row | None,
    state: CatalogueState | None,
    position: Sequence[int],
    text_vector: NDArray[np.float64] | None = None,
    encoder: int = 0,
) -> Row | None:
    """Fold an update at `position` (topic epoch, partition, offset); returns the new row, None if it was folded before.

    A state of None (a tombstone of a compacted topic) resets the row to its defaults but keeps the position.
    """
    old = row or {feature.name: default_value(feature) for feature in view.features}
    if is_folded(position, old["position"].tolist()):
        return None
    if state is None:
        new = {feature.name: default_value(feature) for feature in view.features}
    elif row is not None and state.time_s < float(old["updated_s"]):
        new = {**old, "created_s": np.array(state.time_s)} if _is_older(old, state) else dict(old)
    else:
        new = _replace_state(schema, old, state, text_vector, encoder)
    return {**new, "position": np.array(position, np.int64), "schema": np.array(schema.fingerprint, np.int64)}


def _is_older(old: Row, state: CatalogueState) -> bool:
    return "created_s" in old and state.time_s < float(old["created_s"])


def _replace_state(
    schema: Schema, old: Row, state: CatalogueState, text_vector: NDArray[np.float64] | None, encoder: int
) -> Row:
    config = schema.config
    vector = np.zeros(config.text_dims) if text_vector is None else text_vector
    new: Row = {
        **old,
        "updated_s": np.array(state.time_s),
        "text_vector": vector,
        "encoder": np.array(encoder, np.int64),
    }
    if isinstance(state, ScenarioState):
        new["name"] = np.array(state.name, object)
    if isinstance(state, ItemState):
        created = float(old["created_s"])
        new |= {
            "title": np.array(state.title, object),
            "created_s": np.array(min(created, state.time_s) if created else state.time_s),
            "facet_keys": facet_keys(state.categories, state.brand, config.category_levels),
            "price": np.array(state.price),
            "attributes": number_values(config.numbers_of("item"), state.attributes),
        }
        if declared := config.categories_of("item"):
            new["category_keys"] = category_keys(declared, state.category_attributes)
    return new


def fold_item_scenarios(
    schema: Schema, block: Block, row: Ints, time_s: Floats, attributes: Floats, position: Ints
) -> Block:
    """Fold states [E] in offset order into rows of `item_scenario`; at equal times the later record wins.

    Args:
        schema: the feature schema.
        block: rows of `item_scenario`.
        row: [E] index into the block.
        time_s: [E] start of validity of each state, seconds since 1970; NaN: that of the state it replaces.
        attributes: [E, A] declared attributes, in order.
        position: [E, 3] topic epoch, partition, offset.
    """
    new = np.flatnonzero(is_new(block, row, position))
    time_s = np.where(np.isnan(time_s), block.floats("updated_s")[row], time_s)
    new = new[time_s[new] >= block.floats("updated_s")[row[new]]]
    new = new[np.argsort(time_s[new], kind="stable")]
    values, updated_s = block.floats("attributes").copy(), block.floats("updated_s").copy()
    values[row[new]], updated_s[row[new]] = attributes[new], time_s[new]
    newest = newest_position(block, row, position)
    touched = (newest != block.ints("position")).any(axis=1)
    fingerprint = np.where(touched, schema.fingerprint, block.ints("schema"))
    columns = {"attributes": values, "updated_s": updated_s, "position": newest, "schema": fingerprint}
    return block.with_columns(columns)
