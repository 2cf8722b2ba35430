"""Which group a feature is ablated with."""

import re

import pytest

from export.experiments.groups import (
    OTHERS,
    RULES,
    feature_groups,
    feature_names,
    group_of,
    scenario_identifying_features,
)
from services.features.config import Attribute, FeatureConfig
from services.features.encode import tensor_names
from services.features.schema import build_schema

ATTRIBUTES = (
    Attribute("placed", "item_scenario"),
    Attribute("age", "user"),
    Attribute("price_range", "item", kind="category", values=("low", "high")),
)
CONFIG = FeatureConfig(attributes=ATTRIBUTES, liked_from={"rating": 4.0})
TENSORS = tensor_names(build_schema(CONFIG))


@pytest.mark.parametrize(
    ("feature", "group"),
    [
        ("item/user_item_3600s", "user x item"),
        ("cross/user_scenario_item_known", "user x item"),
        ("item/user_category_1_86400s", "user x kind"),
        ("cross/user_scenario_brand_3600s", "user x kind"),
        ("item/item_engagement_3600s", "item popularity"),
        ("item/category_1_engagement_3600s", "kind popularity"),
        ("item/item_unique_users", "item popularity"),
        ("item/category_1_unique_users", "kind popularity"),
        ("item/item_repeat_engagement_3600s", "repeat and interval"),
        ("item/category_1_returns_per_day", "repeat and interval"),
        ("item/user_item_age_days", "repeat and interval"),
        ("cross/item_scenario_impression_3600s", "impressions"),
        ("item/price_known", "price"),
        ("item/user_category_0_rating_liked_share_ever", "opinions"),
        ("behavior/all_rating_opinions_3600s", "opinions"),
        ("scenario/rating_value", "opinions"),
        ("item/value_known", "price"),
        ("cross/item_scenario_placed", OTHERS),
        ("item/item_age_days", OTHERS),
        ("behavior/profile_age", OTHERS),
        ("item/item_price_range=low", OTHERS),
        ("language/text_3", "language"),
        ("item_text/text_3", "language"),
        ("cross/user_scenario_text_similarity", "language"),
        ("behavior/all_click_3600s", "behaviour totals"),
        ("behavior/scenario_impression_3600s", "behaviour totals"),
        ("scenario/impression_share", "scenario features"),
    ],
)
def test_the_name_of_a_feature_determines_its_group(feature: str, group: str) -> None:
    """The first rule whose pattern matches applies."""
    assert group_of(feature) == group


@pytest.mark.parametrize("pattern", [pattern for _, patterns in RULES for pattern in patterns])
def test_every_pattern_matches_a_feature(pattern: str) -> None:
    """A pattern without a feature in the schema would be dead code."""
    assert any(re.search(pattern, feature) for feature in feature_names(TENSORS))


def test_groups_partition_all_features() -> None:
    """Every feature of the schema is in exactly one group; groups without features are left out."""
    groups = feature_groups(TENSORS)
    members = [feature for features in groups.values() for feature in features]
    assert sorted(members) == sorted(feature_names(TENSORS))


def test_the_pooled_network_has_no_feature_of_the_scenario() -> None:
    """It keeps the user's engagement with the item over all scenarios."""
    visible = set(feature_names(TENSORS)) - scenario_identifying_features(TENSORS)
    assert {feature.split("/")[0] for feature in visible} == {"behavior", "language", "item", "item_text", "cross"}
    assert not any(feature.startswith("behavior/scenario_") for feature in visible)
