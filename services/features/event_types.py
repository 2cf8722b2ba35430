"""The table of behaviour event types: what an event of each type needs, and how much it counts as engagement.

Validation, count arrays, default engagement weights, labels of data sets, the console and exports derive from it.
A type is appended here and in the `EventType` enum of events.proto; existing types keep their place, since rows and
messages hold their index.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal


@dataclass(frozen=True)
class EventType:
    """One type of behaviour event.

    Args:
        name: lower-case name; the protobuf enum value is `EVENT_TYPE_<NAME>`.
        engagement: default weight in engagement; 0: the type is no engagement with an item.
        needs_item: whether item_id is required; if not, it must be empty.
        needs_text: whether text is required.
        value: what a value means: the price paid, or an opinion of the item, which likes it from a threshold on
            (settings: features.liked_from); "": nothing.
        needs_value: whether value is required.
    """

    name: str
    engagement: float
    needs_item: bool = True
    needs_text: bool = False
    value: Literal["", "price", "opinion"] = ""
    needs_value: bool = False

    @property
    def takes_value(self) -> bool:
        """Whether value has a meaning."""
        return bool(self.value)


EVENT_TYPE_TABLE = (
    EventType("impression", 0.0),
    EventType("click", 1.0, value="opinion"),
    EventType("add_to_cart", 1.0),
    EventType("purchase", 1.0, value="price"),
    EventType("rating", 1.0, value="opinion", needs_value=True),
    EventType("query", 0.0, needs_item=False, needs_text=True),
    EventType("comment", 1.0, needs_text=True, value="opinion"),
)
"""In the order of the count arrays; index = protobuf enum number - 1. New types are appended."""

EVENT_TYPES = tuple(event_type.name for event_type in EVENT_TYPE_TABLE)
"""Names, in the order of the table."""

ENGAGEMENT_TYPES = tuple(event_type.name for event_type in EVENT_TYPE_TABLE if event_type.engagement)
"""Types that count as engagement with an item unless the settings say otherwise."""

OPINION_TYPES = tuple(event_type.name for event_type in EVENT_TYPE_TABLE if event_type.value == "opinion")
"""Types whose value is an opinion of the item: the rating, seconds of dwell or watching, stars of a review."""

if TYPE_CHECKING:
    EngagementType = str
else:
    EngagementType = Literal[ENGAGEMENT_TYPES]
"""One of ENGAGEMENT_TYPES, for settings and flags."""

EVENT_TYPE_OF_NUMBER = dict(enumerate(EVENT_TYPE_TABLE, start=1))
"""By protobuf enum number; 0 (unspecified) has no type."""

IMPRESSION = EVENT_TYPES.index("impression")
PURCHASE = EVENT_TYPES.index("purchase")


def select_event_types(**flags: bool) -> tuple[str, ...]:
    """Names of the types whose fields equal `flags`, in the order of the table."""
    return tuple(t.name for t in EVENT_TYPE_TABLE if all(getattr(t, name) == flag for name, flag in flags.items()))
