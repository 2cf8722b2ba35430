"""Features in groups, by their names: what an ablation takes away together.

Knows patterns of `tensor/name`; a feature belongs to the first group whose pattern is found in it, and one that
none knows is a declared attribute.
"""

import re
from collections.abc import Mapping, Sequence

KIND = "(category|brand|facet|department|manufacturer|type|kind)"
USER = "/user_(scenario_)?"

RULES = (
    ("language", r"^language/|^item_text/|similarity"),
    ("scenario features", r"^scenario/"),
    ("learned factors", r"factor|embedding|latent"),
    ("behaviour totals", r"^behavior/"),
    ("price", r"price|value"),
    ("impressions and click rates", r"impression|exposure|ctr|rate_|_rate|conversion|shown"),
    ("repeat and interval", rf"repeat|returns_per_day|interval|since|recency|repurchase|{USER}\w*age_days"),
    ("user x item", rf"{USER}item_"),
    ("user x kind", rf"{USER}"),
    ("kind popularity", rf"/(item_)?(scenario_)?{KIND}_"),
    ("item popularity", r"engagement|popularity|unique_users"),
)
"""Group and pattern; the first pattern that is found decides."""

OTHERS = "declared attributes"

CUMULATIVE = (
    "user x item",
    "user x kind",
    "item popularity",
    "kind popularity",
    "repeat and interval",
    "impressions and click rates",
    "price",
    OTHERS,
    "behaviour totals",
    "scenario features",
    "language",
    "learned factors",
)
"""Groups in the order in which a cumulative ablation adds them."""


def group_of(feature: str) -> str:
    """The group of a feature `tensor/name`."""
    return next((group for group, pattern in RULES if re.search(pattern, feature)), OTHERS)


def feature_groups(tensors: Mapping[str, Sequence[str]]) -> dict[str, frozenset[str]]:
    """The features `tensor/name` of each group that has any, in the order of CUMULATIVE."""
    members: dict[str, set[str]] = {group: set() for group in CUMULATIVE}
    for feature in features_of(tensors):
        members[group_of(feature)].add(feature)
    return {group: frozenset(features) for group, features in members.items() if features}


def features_of(tensors: Mapping[str, Sequence[str]]) -> list[str]:
    """All features as `tensor/name`."""
    return [f"{tensor}/{name}" for tensor, names in tensors.items() for name in names]


def telling_scenario(tensors: Mapping[str, Sequence[str]]) -> frozenset[str]:
    """What would tell a pooled network which scenario a row is of: scenario features, the user's totals in it."""
    pattern = re.compile(r"^scenario/|^behavior/scenario_")
    return frozenset(feature for feature in features_of(tensors) if pattern.search(feature))
