"""The schema table: the views, and which stored features each has.

Feast's definitions, row packing, documentation and the fingerprint in model manifests derive from it. Knows nothing
of how rows are stored or encoded for a model.
"""

import json
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from hashlib import blake2b

from services.features.config import FeatureConfig
from services.features.event_types import EVENT_TYPES
from services.features.feature import SCALAR, VARIABLE, Feature, Features
from services.features.stored_features import (
    bookkeeping,
    count_features,
    erasure_features,
    event_features,
    facet_activity,
    index_features,
    item_activity,
    item_features,
    item_scenario_features,
    opinion_tables,
    profile_features,
    scenario_activity,
    scenario_features,
    table_features,
    topic_features,
    user_features,
)

REVISION = 2
"""Rises when numbers mean something else although their form stays: then models must be trained again. Since 2,
repeated engagement of one user with one item has a diminishing weight in activity."""


@dataclass(frozen=True)
class View:
    """A row type: its entity keys, its single writer process and its features."""

    name: str
    entities: tuple[str, ...]
    writer: str
    features: Features

    def __getitem__(self, name: str) -> Feature:
        """The feature of that name; KeyError if the view has none."""
        for feature in self.features:
            if feature.name == name:
                return feature
        raise KeyError(f"view {self.name} has no feature {name}")

    def without(self, *names: str) -> "View":
        """The view without some features, for readers that do not need them."""
        return replace(self, features=tuple(feature for feature in self.features if feature.name not in names))


@dataclass(frozen=True)
class Schema:
    """All views under one configuration and list of event types."""

    config: FeatureConfig
    views: tuple[View, ...]
    event_types: tuple[str, ...] = EVENT_TYPES

    def __getitem__(self, name: str) -> View:
        """The view of that name; KeyError if there is none."""
        for view in self.views:
            if view.name == name:
                return view
        raise KeyError(f"no view {name}")

    @cached_property
    def fingerprint(self) -> int:
        """Signed 64-bit digest of everything that rows and tensors depend on, without descriptions; never 0."""
        views = [
            {"name": view.name, "entities": view.entities, "features": [f.stored_form() for f in view.features]}
            for view in self.views
        ]
        content = {"config": asdict(self.config), "views": views, "revision": REVISION}
        text = json.dumps(content, sort_keys=True)
        digest = blake2b(text.encode(), digest_size=8).digest()
        return int.from_bytes(digest, "little", signed=True) or 1

    @property
    def count_length(self) -> int:
        """Length of a count array: event types x half-lives, row-major."""
        return len(self.event_types) * len(self.config.half_lives_s)


LINEAGE = View(
    "schema_lineage",
    ("index_id",),
    "consumers and backfill",
    (
        Feature("fingerprints", "int64", VARIABLE, "schemas that rows were written under, oldest first"),
        Feature("layouts", "string", VARIABLE, "layout of the rows under each, as JSON", ""),
        Feature("position", "int64", 3, "number of schemas, 0, 0", -1),
        Feature("schema", "int64", SCALAR, "fingerprint of the newest schema"),
    ),
)
"""Read and written under every schema, so its own features never change."""


def build_schema(config: FeatureConfig, event_types: tuple[str, ...] = EVENT_TYPES) -> Schema:
    """The schema table under `config`. Each view has exactly one writer, so that rows need no locks."""
    user_counts, counts = (count_features(config, event_types, module) for module in ("behavior", "activity"))
    seen = table_features(config, "seen", config.user_facets, "categories and brands of items shown", "impressions")
    said = opinion_tables(config)
    user = (*user_features(config, user_counts, "user"), *seen, *said, *event_features(config))
    pair = ("item_id", "scenario_id")
    user_scenario = user_features(config, user_counts, "user_scenario")
    listed = f"scenarios in which the user has a row; at most {config.user_scenarios}, the weakest are removed first"
    scenario_ids = Feature("scenario_ids", "string", VARIABLE, listed, "", "", "user_scenarios")
    return Schema(
        config,
        (
            View("scenario", ("scenario_id",), "scenario consumer", scenario_features(config)),
            View("scenario_index", ("index_id",), "scenario consumer", index_features()),
            View("scenario_activity", ("scenario_id",), "activity consumer", scenario_activity(config, counts)),
            View("topic_state", ("topic",), "consumers and backfill", topic_features()),
            LINEAGE,
            View("user", ("user_id",), "behaviour consumer", (*user, scenario_ids, *profile_features(config))),
            # A separate entity: it outlives the deletion of the rows under the user's id.
            View("erased_user", ("erased_user_id",), "behaviour consumer", erasure_features()),
            View("user_scenario", ("user_id", "scenario_id"), "behaviour consumer", user_scenario),
            View("item", ("item_id",), "item consumer", item_features(config)),
            View("item_activity", ("item_id",), "activity consumer", item_activity(config, counts)),
            View("item_scenario", pair, "item consumer", item_scenario_features(config)),
            View("facet_activity", ("facet_key",), "activity consumer", facet_activity(config, counts)),
            View("item_scenario_activity", pair, "activity consumer", (*counts, *bookkeeping())),
        ),
        event_types,
    )
