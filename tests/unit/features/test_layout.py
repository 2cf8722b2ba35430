"""Which feature schemas can follow each other over the same rows, and how rows of the older one are read."""

from dataclasses import replace

import numpy as np
import pytest

from services.features.config import DAY_S, HOUR_S, Attribute, FeatureConfig
from services.features.feature import VARIABLE, Feature
from services.features.layout import SchemaLayout, adapt_row, describe_layout, find_conflicts, find_missing_features
from services.features.rows import default_value
from services.features.schema import Schema, View, build_schema

GENRE, AGE = Attribute("genre", "item", kind="categories", values=("war",)), Attribute("age", "user")
SIZE, WEIGHT = Attribute("size", "item"), Attribute("weight", "item", default=7.0)
CONFIG = FeatureConfig(attributes=(SIZE,))
SCHEMA = build_schema(CONFIG)


def change_view(schema: Schema, view: str, *features: Feature, without: str = "") -> Schema:
    """The schema with additional features in a view, or one fewer."""
    kept = tuple(feature for feature in schema[view].features if feature.name != without)
    views = (replace(v, features=(*kept, *features)) if v.name == view else v for v in schema.views)
    return replace(schema, views=tuple(views))


def conflicts(old: Schema, new: Schema) -> list[str]:
    return find_conflicts(describe_layout(old), describe_layout(new))


def test_a_layout_is_read_back_as_it_was_stored() -> None:
    """It is stored as text, with the names of attributes."""
    layout = describe_layout(SCHEMA)
    assert layout == SchemaLayout.from_json(layout.to_json())
    assert ("size",) == layout.views["item"].features["attributes"].names


@pytest.mark.parametrize(
    "new",
    [
        SCHEMA,
        build_schema(replace(CONFIG, attributes=(SIZE, WEIGHT, Attribute("shelves", "item_scenario")))),
        build_schema(replace(CONFIG, attributes=(GENRE, AGE, SIZE))),
        build_schema(replace(CONFIG, user_items=9, user_scenario_facets=3, event_ids=5)),
        build_schema(replace(CONFIG, attributes=(replace(SIZE, transform="log1p", default=3.0),))),
        change_view(SCHEMA, "user", Feature("visits", "float64", 3, "visits", 1.0)),
        change_view(SCHEMA, "user", Feature("friends", "string", VARIABLE, "friends", "")),
        change_view(SCHEMA, "user", without="language"),
        change_view(
            SCHEMA,
            "user",
            Feature("shop_key", "int64", VARIABLE, "keys of shops"),
            Feature("shop_value", "float64", VARIABLE, "visits"),
        ),
        replace(SCHEMA, views=(*SCHEMA.views, View("shop", ("shop_id",), "", (Feature("x", "int64", 1, "x"),)))),
    ],
    ids=[
        "same",
        "attributes",
        "categories and profiles",
        "bounds",
        "transform",
        "feature",
        "list",
        "left",
        "table",
        "view",
    ],
)
def test_compatible_changes(new: Schema) -> None:
    """Additions, bounds, settings that affect encoding only, and dropped features."""
    assert [] == conflicts(SCHEMA, new)


def test_a_vocabulary_may_become_another() -> None:
    """Or hashed, or more attributes may follow: rows hold keys of values; only the order of attributes is fixed."""
    color = Attribute("color", "item", kind="category", buckets=4)
    old = build_schema(replace(CONFIG, attributes=(GENRE,)))
    for genre in (replace(GENRE, values=("noir", "war")), replace(GENRE, values=(), buckets=8)):
        assert [] == conflicts(old, build_schema(replace(CONFIG, attributes=(genre, color))))
    (reason,) = conflicts(old, build_schema(replace(CONFIG, attributes=(color, GENRE))))
    assert reason.startswith("item.category_keys: rows hold genre, now color, genre; new names must be appended")


@pytest.mark.parametrize(
    ("new", "expected"),
    [
        (
            replace(CONFIG, half_lives_s=(HOUR_S, DAY_S)),
            ["user.counts", "user.item_value", "item_activity.repeat_engagement"],
        ),
        (replace(CONFIG, half_lives_s=(HOUR_S, DAY_S, 9 * DAY_S)), ["user.counts", "user.language"]),
        (replace(CONFIG, text_dims=8), ["user.language", "item.text_vector"]),
        (replace(CONFIG, category_levels=4), ["item.facet_keys"]),
        (replace(CONFIG, attributes=()), ["item.attributes"]),
        (replace(CONFIG, attributes=(WEIGHT, SIZE)), ["item.attributes"]),
        (replace(CONFIG, engagement={"click": 2.0}), ["features.engagement"]),
    ],
)
def test_settings_that_must_not_change(new: FeatureConfig, expected: list[str]) -> None:
    """They would change the meaning of stored numbers; the reasons name the features."""
    reasons = conflicts(SCHEMA, build_schema(new))
    for name in expected:
        assert [reason for reason in reasons if reason.startswith(f"{name}: ")], reasons


@pytest.mark.parametrize("name", ["item_seen", "event_places", "seen_value2"])
def test_a_column_cannot_be_added_to_a_table(name: str) -> None:
    """Stored entries have no value for it, and a column must be as long as its key."""
    (reason,) = conflicts(SCHEMA, change_view(SCHEMA, "user", Feature(name, "int64", VARIABLE, "")))
    assert reason.startswith(f"user.{name}: is new in the table of ")


def test_a_type_and_a_key_must_not_change() -> None:
    """A feature that is added later under the name of a dropped one counts as the same."""
    price = Feature("price", "int64", SCHEMA["item"]["price"].length, "")
    assert ["item.price: stored as float64, now int64"] == conflicts(
        SCHEMA, change_view(SCHEMA, "item", price, without="price")
    )
    views = (replace(v, entities=("shop_id",)) if v.name == "item" else v for v in SCHEMA.views)
    assert ["item: rows are keyed by item_id, now by shop_id"] == conflicts(SCHEMA, replace(SCHEMA, views=tuple(views)))


def test_rows_of_an_older_schema_get_defaults() -> None:
    """New attributes at the end; new features, also if an even older schema had used their name."""
    new = build_schema(replace(CONFIG, attributes=(SIZE, WEIGHT)))["item"]
    row = {feature.name: default_value(feature) for feature in SCHEMA["item"].features}
    row |= {"attributes": np.array([3.0]), "price": np.array(5.0)}
    stored = describe_layout(change_view(SCHEMA, "item", without="price"))
    read = adapt_row(new, row, describe_layout(SCHEMA))
    assert ([3.0, 7.0], 5.0) == (read["attributes"].tolist(), read["price"])
    assert -1.0 == adapt_row(new, row, stored)["price"]
    assert ["price"] == find_missing_features(new, stored)


def test_rows_of_a_newer_schema_are_read_without_unknown_features() -> None:
    """A reader gets the attributes that its schema declares."""
    wide = build_schema(replace(CONFIG, attributes=(SIZE, WEIGHT)))
    row = {feature.name: default_value(feature) for feature in wide["item"].features}
    row["attributes"] = np.array([3.0, 4.0])
    assert [3.0] == adapt_row(SCHEMA["item"], row, describe_layout(wide))["attributes"].tolist()
