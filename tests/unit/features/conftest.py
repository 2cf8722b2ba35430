"""Events and schemas for the feature tests, seeded."""

from dataclasses import replace

import numpy as np
import pytest

from services.features.config import DAY_S, Attribute, FeatureConfig
from services.features.event_types import EVENT_TYPES
from services.features.events import Events
from services.features.hashing import keys64
from services.features.schema import Schema, build_schema

START_S = 1_700_000_000.0


@pytest.fixture
def schema() -> Schema:
    """A small schema with one attribute of each entity, in which half of the ratings are dislikes."""
    attributes = (
        Attribute("size", "item", "log1p", 1.0),
        Attribute("shelves", "item_scenario"),
        Attribute("basket", "context", default=2.0),
    )
    return build_schema(
        FeatureConfig(text_dims=4, category_levels=2, attributes=attributes, liked_from={"rating": 5.0})
    )


@pytest.fixture
def events(schema: Schema) -> Events:
    """Three hundred events of five users, eight items and three scenarios over sixty days, in random order of time."""
    return make_events(schema, 300)


def make_events(schema: Schema, count: int, seed: int = 0, users: int = 5, items: int = 8) -> Events:
    random = np.random.default_rng(seed)
    item = random.integers(0, items, count)
    facets = np.stack([item % 2 + 1, item % 4 + 10, item % 3 + 100], axis=1).astype(np.int64)
    return Events(
        user=np.array([f"u{n}" for n in random.integers(0, users, count)], object),
        scenario=np.array([f"s{n}" for n in random.integers(0, 3, count)], object),
        item=np.array([f"i{n}" for n in item], object),
        type=random.integers(0, len(EVENT_TYPES) - 2, count),
        time_s=START_S + random.uniform(0, 60 * DAY_S, count),
        value=np.where(random.random(count) < 0.5, random.uniform(1, 9, count), np.nan),
        event_key=keys64(f"e{seed}-{n}" for n in range(count)),
        position=np.stack([np.ones(count), np.zeros(count), np.arange(count)], axis=1).astype(np.int64),
        item_key=keys64(f"i{n}" for n in item),
        facet_key=facets,
        text_vector=random.normal(size=(count, schema.config.text_dims)),
    )


def renumbered(events: Events) -> Events:
    """The events with offsets in their present order."""
    position = events.position.copy()
    position[:, 2] = np.arange(len(events))
    return replace(events, position=position)
