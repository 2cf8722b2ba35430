"""The rows that requests are encoded from.

Knows which rows belong together; knows nothing of where they are read or how they are encoded.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from services.features.attributes import Given, category_keys, expand_categories, number_values
from services.features.config import DAY_S, FeatureConfig
from services.features.item_columns import (
    PrecomputedActivity,
    PrecomputedItems,
    PrecomputedItemScenarios,
    precompute_activity,
    precompute_item_scenarios,
    precompute_items,
)
from services.features.rows import Block, Floats, Ints
from services.features.schema import Schema

T = TypeVar("T", bound=np.generic)


@dataclass(frozen=True)
class SortedKeys:
    """Keys of K items or facets, in order, so that all tables of users find them with one sorting.

    Args:
        key: [K] the keys, rising.
        place: [K] where each of them stands in the rows.
        distinct: whether no two are equal.
    """

    key: Ints
    place: Ints
    distinct: bool

    def __len__(self) -> int:
        return len(self.key)

    def in_place(self) -> Ints:
        """The keys as they stand in the rows."""
        keys = np.empty_like(self.key)
        keys[self.place] = self.key
        return keys


def sort_keys(keys: Ints) -> SortedKeys:
    """The keys [K] in order."""
    place = keys.argsort()
    key = keys[place]
    return SortedKeys(key, place, bool((key[1:] != key[:-1]).all()))


@dataclass(frozen=True)
class FeatureRows:
    """All rows of R requests over J scenarios, with N candidates among I items.

    Args:
        time_s: the requests' time, seconds since 1970.
        encoder: fingerprint of the encoder; vectors of another count as missing.
        scenario: [J] rows of `scenario`.
        scenario_activity: [J] rows.
        user: [R] rows of `user`.
        user_scenario: [R * J] rows, scenario fastest.
        items: [I] items.
        item_activity: [I] activity of all users with them.
        pairs: [I * J] the items in the scenarios, scenario fastest.
        facet_activity: [G] activity of all users with the items' facets; 'no facet' has a row of defaults.
        facet_key: [G] keys of the facets.
        pair_request: [N] request of each candidate.
        pair_item: [N] item of each candidate.
        context: [R, A] declared context attributes: numbers as given, then columns of categories.
    """

    time_s: float
    encoder: int
    scenario: Block
    scenario_activity: Block
    user: Block
    user_scenario: Block
    items: PrecomputedItems
    item_activity: PrecomputedActivity
    pairs: PrecomputedItemScenarios
    facet_activity: PrecomputedActivity
    facet_key: Ints
    pair_request: Ints
    pair_item: Ints
    context: Floats

    @cached_property
    def sorted_items(self) -> SortedKeys:
        """Keys of the items."""
        return sort_keys(self.items.key)

    @cached_property
    def sorted_facets(self) -> SortedKeys:
        """Keys of the facets."""
        return sort_keys(self.facet_key)

    @cached_property
    def _are_pairs_items(self) -> bool:
        """Whether each candidate is the item at its place, as in a request of the server."""
        return len(self.pair_item) == len(self.items) and bool((self.pair_item == np.arange(len(self.items))).all())

    def of_pairs(self, column: NDArray[T]) -> NDArray[T]:
        """Rows [I, ...] of the items of the candidates, [N, ...]; the column itself where they are the same."""
        return column if self._are_pairs_items else column.take(self.pair_item, axis=0)

    @cached_property
    def pair_facet(self) -> NDArray[np.integer]:
        """[N, F] index of each facet of each candidate."""
        return self.of_pairs(self.items.facet)

    def age_days(self, time_s: Floats) -> Floats:
        """log(1 + days since time_s), 0 where time_s is 0 (never), [...] as time_s."""
        days = np.maximum(self.time_s - time_s, 0.0) / DAY_S
        result: Floats = np.where(time_s > 0, np.log1p(days), 0.0)
        return result


def encode_context(config: FeatureConfig, numbers: Mapping[str, float], values: Given) -> Floats:
    """The attributes of a request's context as FeatureRows holds them: numbers as given, then categories, [A]."""
    plain, declared = number_values(config.numbers_of("context"), numbers), config.categories_of("context")
    if not declared:
        return plain
    return np.concatenate([plain, expand_categories(declared, category_keys(declared, values)[None])[0]])


def assemble_rows(
    schema: Schema,
    blocks: Mapping[str, Block],
    *,
    time_s: float,
    encoder: int,
    item_key: Ints,
    item_facet: Ints,
    pair_request: Ints,
    pair_item: Ints,
    context: Floats,
) -> FeatureRows:
    """Assemble FeatureRows from blocks by view, whose rows are in the order that FeatureRows documents.

    `item_facet` [I, F] is the index of each facet of an item in the rows of `facet_activity`; the other arguments are
    fields of FeatureRows.
    """
    config, item = schema.config, blocks["item"]
    facet_key = np.zeros(blocks["facet_activity"].size, np.int64)
    facet_key[item_facet] = item.ints("facet_keys")
    return FeatureRows(
        time_s=time_s,
        encoder=encoder,
        scenario=blocks["scenario"],
        scenario_activity=blocks["scenario_activity"],
        user=blocks["user"],
        user_scenario=blocks["user_scenario"],
        items=precompute_items(config, encoder, item_key, item_facet, item, blocks["item_activity"]),
        item_activity=precompute_activity(config, blocks["item_activity"]),
        pairs=precompute_item_scenarios(config, blocks["item_scenario"], blocks["item_scenario_activity"]),
        facet_activity=precompute_activity(config, blocks["facet_activity"]),
        facet_key=facet_key,
        pair_request=pair_request,
        pair_item=pair_item,
        context=context,
    )
