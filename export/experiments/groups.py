"""Groups of features by name: the units that an ablation leaves out.

Knows patterns of `tensor/name`; a feature belongs to the first group that has a pattern found in it, and a feature
without such a group is a declared attribute.
"""

import re
from collections.abc import Mapping, Sequence

from services.features.event_types import OPINION_TYPES

OTHERS = "declared attributes"

RULES = (
    (OTHERS, (r"^behavior/(context|profile)_", r"^item/item_.*([=#]|~unknown$)")),
    ("opinions", (r"_liked_share_", r"_opinions_", rf"({'|'.join(OPINION_TYPES)})_value$")),
    ("language", (r"^language/", r"^item_text/", r"similarity")),
    ("scenario features", (r"^scenario/",)),
    ("behaviour totals", (r"^behavior/",)),
    ("price", (r"price", r"value")),
    ("impressions", (r"impression",)),
    ("repeat and interval", (r"repeat", r"returns_per_day", r"/user_\w*age_days")),
    ("user x item", (r"/user_item_", r"/user_scenario_item_")),
    ("user x kind", (r"/user_",)),
    ("kind popularity", (r"/category_", r"/brand_")),
    ("item popularity", (r"engagement", r"unique_users")),
)
"""Group and patterns; the first group with a pattern found in the name decides. A kind is a category or brand."""

CUMULATIVE = (
    "user x item",
    "user x kind",
    "item popularity",
    "kind popularity",
    "opinions",
    "repeat and interval",
    "impressions",
    "price",
    OTHERS,
    "behaviour totals",
    "scenario features",
    "language",
)
"""Groups in the order in which a cumulative ablation adds them."""


def group_of(feature: str) -> str:
    """The group of a feature `tensor/name`."""
    return next((group for group, patterns in RULES if any(re.search(p, feature) for p in patterns)), OTHERS)


def feature_groups(tensors: Mapping[str, Sequence[str]]) -> dict[str, frozenset[str]]:
    """The features `tensor/name` of each group that has any, in the order of CUMULATIVE."""
    members: dict[str, set[str]] = {group: set() for group in CUMULATIVE}
    for feature in feature_names(tensors):
        members[group_of(feature)].add(feature)
    return {group: frozenset(features) for group, features in members.items() if features}


def feature_names(tensors: Mapping[str, Sequence[str]]) -> list[str]:
    """All features as `tensor/name`."""
    return [f"{tensor}/{name}" for tensor, names in tensors.items() for name in names]


def scenario_identifying_features(tensors: Mapping[str, Sequence[str]]) -> frozenset[str]:
    """Features that identify a row's scenario to a pooled network: scenario features, the user's totals in it."""
    pattern = re.compile(r"^scenario/|^behavior/scenario_")
    return frozenset(feature for feature in feature_names(tensors) if pattern.search(feature))
