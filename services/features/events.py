"""A batch of behaviour events as columns: what folding, deduplication and deltas read.

Knows what an event weighs and what was paid; knows nothing of rows, records or where events come from.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from services.features.config import FeatureConfig
from services.features.event_types import EVENT_TYPE_TABLE, EVENT_TYPES, PURCHASE
from services.features.rows import Floats, Ints

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Events:
    """Behaviour events side by side, in offset order per partition, with what is known of their items.

    Args:
        user: [E] user ids.
        scenario: [E] scenario ids.
        item: [E] item ids, "" for none.
        type: [E] index into EVENT_TYPES.
        time_s: [E] seconds since 1970.
        value: [E] price, or opinion like a rating, NaN for none.
        event_key: [E] key of the event id.
        position: [E, 3] topic epoch, partition, offset.
        item_key: [E] key of the item id, NO_KEY for none.
        facet_key: [E, F] keys of the item's facets.
        text_vector: [E, D] vector of the item's text plus vector of the event's own text.
    """

    user: NDArray[np.object_]
    scenario: NDArray[np.object_]
    item: NDArray[np.object_]
    type: Ints
    time_s: Floats
    value: Floats
    event_key: Ints
    position: Ints
    item_key: Ints
    facet_key: Ints
    text_vector: Floats

    def __len__(self) -> int:
        return len(self.type)

    def take(self, index: NDArray[np.generic]) -> "Events":
        """The events at `index` (integers or a mask)."""
        return Events(*(getattr(self, name)[index] for name in self.__dataclass_fields__))


_HAS_NO_ITEM = np.array([not event_type.needs_item for event_type in EVENT_TYPE_TABLE])


def engagement_by_type(config: FeatureConfig) -> Floats:
    """Engagement weight of every event type, in the order of the table: [T]."""
    return _weights(tuple(config.engagement.items()))


@lru_cache
def _weights(engagement: tuple[tuple[str, float], ...]) -> Floats:
    weights = dict(engagement)
    return np.array([weights.get(name, 0.0) for name in EVENT_TYPES])


@lru_cache
def _thresholds(liked_from: tuple[tuple[str, float], ...]) -> Floats:
    """Least value that likes, of every event type; NaN where values are no opinions: [T]."""
    thresholds = dict(liked_from)
    return np.array([thresholds.get(name, np.nan) for name in EVENT_TYPES])


def is_liked(config: FeatureConfig, events: Events) -> Mask:
    """Which events say by their value that the user likes the item: [E]."""
    result: Mask = events.value >= _thresholds(tuple(config.liked_from.items()))[events.type]
    return result


def is_disliked(config: FeatureConfig, events: Events) -> Mask:
    """Which events say by their value that the user does not like the item: [E]. They are no engagement."""
    result: Mask = events.value < _thresholds(tuple(config.liked_from.items()))[events.type]
    return result


def type_weights(config: FeatureConfig, types: Ints) -> Floats:
    """Engagement weight of each event type index, whatever the event's value."""
    result: Floats = engagement_by_type(config)[types]
    return result


def engagement_weights(config: FeatureConfig, events: Events) -> Floats:
    """Engagement weight of each event, 0 for those that dislike their item: [E]."""
    weights = type_weights(config, events.type)
    return np.where(is_disliked(config, events), 0.0, weights) if config.liked_from else weights


def language_weights(config: FeatureConfig, events: Events) -> Floats:
    """Weight of an event's text vector: its engagement, or 1 for types without an item (a query): [E]."""
    return np.where(_HAS_NO_ITEM[events.type], 1.0, engagement_weights(config, events))


def price_paid(events: Events) -> tuple[Floats, Mask]:
    """log(1 + price) of purchases with a price, 0 for other events, and which those are: [E], [E]."""
    paid = (events.type == PURCHASE) & np.isfinite(events.value)
    return np.where(paid, np.log1p(np.maximum(np.where(paid, events.value, 0.0), 0.0)), 0.0), paid
