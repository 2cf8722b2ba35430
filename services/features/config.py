"""Feature settings of a deployment; everything else about features is derived from the schema table.

Plain values; `services.settings.load` reads files and environment.
"""

import math
from dataclasses import dataclass, field
from typing import Literal

from services.features.attributes import Attribute, AttributeEntity
from services.features.event_types import EVENT_TYPE_TABLE, EVENT_TYPES, OPINION_TYPES

HOUR_S = 3600.0
DAY_S = 24 * HOUR_S

TableName = Literal["item", "facet", "seen", "opinion_item", "opinion_facet"]
"""Tables in the rows of users: engaged items, facets of engaged items, facets of items shown; items with an opinion of
the user, and their facets."""

STATISTICS = 3
"""What sums of opinions hold per type: the number of opinions, the number of those that like, the sum of values."""


def _engagement() -> dict[str, float]:
    return {event_type.name: event_type.engagement for event_type in EVENT_TYPE_TABLE if event_type.engagement}


@dataclass(frozen=True)
class FeatureConfig:
    """Parameters of the feature schema. Changing one changes the schema's fingerprint.

    Args:
        half_lives_s: half-lives of decayed counts, seconds, shortest first.
        engagement: weight of an event type in engagement (tables of items and categories, language
            vector, popularity); types that are not listed have weight 0.
        liked_from: least value of an event that likes its item, by event type (rating, click, comment). The values of
            a listed type become features; an event below is no engagement, and its label is 0.
        category_levels: number of category levels kept, broad to fine; deeper ones are ignored.
        text_dims: length of text vectors.
        item_vectors: length of learned item vectors; 0: none are learned.
        user_items: maximum of items kept per user over all scenarios.
        user_scenario_items: maximum of items kept per user and scenario.
        user_facets: maximum of categories and brands kept per user over all scenarios.
        user_scenario_facets: maximum of categories and brands kept per user and scenario.
        user_scenarios: maximum of scenarios kept per user.
        event_ids: number of recent event ids kept per row for deduplication.
        attributes: declared attributes: numbers, and categories as columns of zeros and ones.
    """

    half_lives_s: tuple[float, ...] = (HOUR_S, DAY_S, 30 * DAY_S)
    engagement: dict[str, float] = field(default_factory=_engagement)
    liked_from: dict[str, float] = field(default_factory=dict)
    category_levels: int = 3
    text_dims: int = 64
    item_vectors: int = 16
    user_items: int = 512
    user_scenario_items: int = 256
    user_facets: int = 512
    user_scenario_facets: int = 256
    user_scenarios: int = 128
    event_ids: int = 64
    attributes: tuple[Attribute, ...] = ()

    def __post_init__(self) -> None:
        """Validate the fields; raises ValueError naming the invalid one."""
        if not self.half_lives_s or sorted(self.half_lives_s) != list(self.half_lives_s):
            raise ValueError("features.half_lives_s: give at least one half-life, shortest first")
        if self.half_lives_s[0] <= 0:
            raise ValueError("features.half_lives_s: half-lives are positive seconds")
        unknown = set(self.engagement) - set(EVENT_TYPES)
        if unknown:
            raise ValueError(f"features.engagement: unknown event types {sorted(unknown)}, known: {EVENT_TYPES}")
        if not all(0 <= weight < math.inf for weight in self.engagement.values()):
            raise ValueError("features.engagement: weights are finite and not negative")
        if unknown := set(self.liked_from) - set(OPINION_TYPES):
            raise ValueError(
                f"features.liked_from: {', '.join(sorted(unknown))}: values of this type are no opinions; known: "
                f"{', '.join(OPINION_TYPES)}"
            )
        if not all(map(math.isfinite, self.liked_from.values())):
            raise ValueError("features.liked_from: thresholds are finite numbers")
        names = [(attribute.entity, attribute.name) for attribute in self.attributes]
        if len(set(names)) != len(names):
            raise ValueError("features.attributes: two attributes of one entity share a name")
        for entity in dict.fromkeys(attribute.entity for attribute in self.attributes):
            columns = self.columns_of(entity)
            if len(set(columns)) != len(columns):
                twice = next(column for column in columns if columns.count(column) > 1)
                raise ValueError(f"features.attributes: two columns of entity {entity} are named {twice!r}")

    def attributes_of(self, entity: AttributeEntity) -> tuple[Attribute, ...]:
        """The declared attributes of one entity, in the order of declaration."""
        return tuple(attribute for attribute in self.attributes if attribute.entity == entity)

    def numbers_of(self, entity: AttributeEntity) -> tuple[Attribute, ...]:
        """The numeric ones among them."""
        return tuple(attribute for attribute in self.attributes_of(entity) if attribute.kind == "number")

    def categories_of(self, entity: AttributeEntity) -> tuple[Attribute, ...]:
        """The categorical ones among them, of one value or of lists."""
        return tuple(attribute for attribute in self.attributes_of(entity) if attribute.kind != "number")

    def columns_of(self, entity: AttributeEntity) -> tuple[str, ...]:
        """Names of the columns that the attributes of one entity are encoded as: numbers, then categories."""
        attributes = (*self.numbers_of(entity), *self.categories_of(entity))
        return tuple(column for attribute in attributes for column in attribute.columns)

    def table_half_lives(self, table: TableName) -> tuple[float, ...]:
        """Half-life of each value of a table's entries, seconds.

        Items and facets: engagement at every half-life; facets also the sum of log(1 + price paid) and the number
        of prices. Seen: impressions. Opinions: per type number, likes and sum of values, of late and in all.
        """
        longest = self.half_lives_s[-1]
        match table:
            case "item":
                return self.half_lives_s
            case "facet":
                return (*self.half_lives_s, longest, longest)
            case "seen":
                return (longest,)
            case "opinion_item" | "opinion_facet":
                return self.table_horizons_s * (STATISTICS * len(self.opinion_types))

    @property
    def horizons_s(self) -> tuple[float, ...]:
        """Half-lives of sums of opinions, seconds; the last one is infinite: over the lifetime of the row."""
        return (*self.half_lives_s, math.inf)

    @property
    def opinion_width(self) -> int:
        """Length of the sums of opinions of a row: types x statistics x horizons, row-major."""
        return len(self.liked_from) * STATISTICS * len(self.horizons_s)

    @property
    def table_horizons_s(self) -> tuple[float, ...]:
        """Half-lives of sums of opinions in tables, seconds: the longest one, and infinite."""
        return self.horizons_s[-2:]

    @property
    def opinion_names(self) -> tuple[str, ...]:
        """Event types whose values are opinions, in the order of the count arrays."""
        return tuple(name for name in EVENT_TYPES if name in self.liked_from)

    @property
    def opinion_types(self) -> tuple[int, ...]:
        """Their indexes."""
        return tuple(map(EVENT_TYPES.index, self.opinion_names))

    @property
    def facets(self) -> tuple[str, ...]:
        """Names of the facets of an item: category levels broad to fine, then brand."""
        return (*(f"category_{level}" for level in range(self.category_levels)), "brand")
