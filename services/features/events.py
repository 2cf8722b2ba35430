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


@dataclass(frozen=True)
class Events:
    """Behaviour events side by side, in offset order per partition, with what is known of their items.

    Args:
        user: [E] user ids.
        scenario: [E] scenario ids.
        item: [E] item ids, "" for none.
        type: [E] index into EVENT_TYPES.
        time_s: [E] seconds since 1970.
        value: [E] price or rating, NaN for none.
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


def engagement_weights(config: FeatureConfig, types: Ints) -> Floats:
    """Engagement weight of each event type index."""
    result: Floats = engagement_by_type(config)[types]
    return result


def language_weights(config: FeatureConfig, types: Ints) -> Floats:
    """Weight of an event's text vector by event type index: engagement, or 1 for types without an item (a query)."""
    return np.where(_HAS_NO_ITEM[types], 1.0, engagement_weights(config, types))


def price_paid(events: Events) -> tuple[Floats, NDArray[np.bool_]]:
    """log(1 + price) of purchases with a price, 0 for other events, and which those are: [E], [E]."""
    paid = (events.type == PURCHASE) & np.isfinite(events.value)
    return np.where(paid, np.log1p(np.maximum(np.where(paid, events.value, 0.0), 0.0)), 0.0), paid
