"""The schema table: every stored feature with its view, type, length, unit, default and updater.

Feast's definitions, row packing, documentation and the fingerprint in model manifests derive from it. Knows nothing
of how rows are stored or encoded for a model.
"""

import json
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from hashlib import blake2b
from typing import Any, Literal

from services.features.attributes import SLOTS, AttributeEntity
from services.features.config import FeatureConfig, TableName
from services.features.event_types import EVENT_TYPES

Dtype = Literal["float64", "int64", "string"]

VARIABLE = -1
"""Length of a feature whose number of values differs from row to row."""

SCALAR = -2
"""Length of a feature that is one value, not a list."""

POSITION = ("topic_epoch", "partition", "offset")

REVISION = 2
"""Rises when numbers mean something else although their form stays: then models must be trained again. Since 2,
repeated engagement of one user with one item has a diminishing weight in activity."""


@dataclass(frozen=True)
class Feature:
    """One stored feature.

    Args:
        name: unique within its view.
        dtype: type of a value.
        length: SCALAR, a fixed number of values, or VARIABLE.
        description: meaning and unit of the values, in their order.
        default: the value in a row that was never written.
        half_life: half-life of the values; empty: no decay.
        updated_by: the module that writes it.
        names: names of the values, or of equal groups of values, in order, where more may be appended later.
    """

    name: str
    dtype: Dtype
    length: int
    description: str
    default: float | str | tuple[float, ...] = 0.0
    half_life: str = ""
    updated_by: str = ""
    names: tuple[str, ...] | None = None

    def stored_form(self) -> dict[str, Any]:
        """All fields but the descriptive ones."""
        return {name: value for name, value in asdict(self).items() if name not in ("description", "updated_by")}


Features = tuple[Feature, ...]


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
    user_counts, counts = (_counts(config, event_types, module) for module in ("behavior", "activity"))
    seen = _table(config, "seen", config.user_facets, "categories and brands of items shown", "impressions")
    said = _opinion_tables(config)
    user = (*_user_features(config, user_counts, "user"), *seen, *said, *_event_features(config))
    pair = ("item_id", "scenario_id")
    user_scenario = _user_features(config, user_counts, "user_scenario")
    listed = f"scenarios in which the user has a row; at most {config.user_scenarios}, the weakest are removed first"
    scenario_ids = Feature("scenario_ids", "string", VARIABLE, listed, "", "", "user_scenarios")
    return Schema(
        config,
        (
            View("scenario", ("scenario_id",), "scenario consumer", _scenario_features(config)),
            View("scenario_index", ("index_id",), "scenario consumer", _index_features()),
            View("scenario_activity", ("scenario_id",), "activity consumer", _scenario_activity(config, counts)),
            View("topic_state", ("topic",), "consumers and backfill", _topic_features()),
            LINEAGE,
            View("user", ("user_id",), "behaviour consumer", (*user, scenario_ids, *_profile(config))),
            # A separate entity: it outlives the deletion of the rows under the user's id.
            View("erased_user", ("erased_user_id",), "behaviour consumer", _erasure_features()),
            View("user_scenario", ("user_id", "scenario_id"), "behaviour consumer", user_scenario),
            View("item", ("item_id",), "item consumer", _item_features(config)),
            View("item_activity", ("item_id",), "activity consumer", _item_activity(config, counts)),
            View("item_scenario", pair, "item consumer", _item_scenario_features(config)),
            View("facet_activity", ("facet_key",), "activity consumer", _facet_activity(config, counts)),
            View("item_scenario_activity", pair, "activity consumer", (*counts, *_bookkeeping())),
        ),
        event_types,
    )


def _bookkeeping() -> Features:
    return (
        Feature("position", "int64", 3, f"newest record folded in: {', '.join(POSITION)}", -1, "", "rows"),
        Feature("schema", "int64", SCALAR, "fingerprint of the schema that the row was written under", 0, "", "rows"),
    )


def _counts(config: FeatureConfig, event_types: tuple[str, ...], updated_by: str) -> Features:
    length = len(event_types) * len(config.half_lives_s)
    half_lives = ", ".join(f"{half_life:g} s" for half_life in config.half_lives_s)
    what = f"decayed events at time_s, without dislikes, by type ({', '.join(event_types)}) x half-life"
    return (
        Feature("time_s", "float64", SCALAR, "time of the newest event, seconds since 1970", 0, "", updated_by),
        Feature("counts", "float64", length, what, 0, half_lives, updated_by, event_types),
        *_opinions(config, updated_by),
    )


def _opinions(config: FeatureConfig, updated_by: str) -> Features:
    """The sums of opinions, where values of any type are opinions.

    Their names hold the thresholds: likes from one threshold on are not comparable with those from another.
    """
    if not config.liked_from:
        return ()
    half_lives = ", ".join(f"{half_life:g} s" for half_life in config.horizons_s)
    names = tuple(f"{name} from {config.liked_from[name]:g}" for name in config.opinion_names)
    what = f"opinions at time_s, by type ({', '.join(names)}) x (number, likes, sum of values) x half-life"
    return (Feature("opinions", "float64", config.opinion_width, what, 0, half_lives, updated_by, names),)


def _opinion_tables(config: FeatureConfig) -> Features:
    if not config.liked_from:
        return ()
    values = "number, likes and sum of values of opinions"
    return (
        *_table(config, "opinion_item", config.user_items, "items with an opinion", values),
        *_table(config, "opinion_facet", config.user_facets, "categories and brands of items with an opinion", values),
    )


def _table(config: FeatureConfig, name: TableName, limit: int, what: str, values: str) -> Features:
    half_lives = ", ".join(f"{half_life:g} s" for half_life in config.table_half_lives(name))
    bound = f"at most {limit}, the weakest are evicted first"
    return (
        Feature(f"{name}_key", "int64", VARIABLE, f"keys of {what}; {bound}", 0, "", "tables"),
        Feature(f"{name}_first_s", "float64", VARIABLE, "time of the first event, seconds since 1970", 0, "", "tables"),
        Feature(f"{name}_s", "float64", VARIABLE, "time of the newest event, seconds since 1970", 0, "", "tables"),
        Feature(f"{name}_value", "float64", VARIABLE, f"{values} at that time", 0, half_lives, "tables"),
    )


def _user_features(config: FeatureConfig, counts: Features, view: Literal["user", "user_scenario"]) -> Features:
    items = config.user_items if view == "user" else config.user_scenario_items
    facets = config.user_facets if view == "user" else config.user_scenario_facets
    longest = f"{config.half_lives_s[-1]:g} s"
    vectors = "sum of engaged texts' vectors at time_s"
    paid = "engagement by half-life, sum of log(1 + price paid), number of prices"
    return (
        *counts,
        Feature("language", "float64", config.text_dims, vectors, 0, longest, "behavior"),
        Feature("encoder", "int64", SCALAR, "fingerprint of the encoder behind language", 0, "", "behavior"),
        *_table(config, "item", items, "engaged items", "engagement by half-life"),
        *_table(config, "facet", facets, "categories and brands of engaged items", paid),
        *_bookkeeping(),
    )


def _event_features(config: FeatureConfig) -> Features:
    which = f"of the last {config.event_ids} events and those of the newest batch"
    bits = "bit mask: whether the user had engaged before with the item, with each facet; above it, level of its weight"
    return (
        Feature("event_ids", "int64", VARIABLE, f"keys of the ids {which}", 0, "", "dedup"),
        Feature("event_seqs", "int64", VARIABLE, "their topic epoch * 2^40 + offset", 0, "", "dedup"),
        Feature("event_engaged_before", "int64", VARIABLE, bits, 0, "", "dedup"),
    )


def _erasure_features() -> Features:
    erased = "events of the user up to this time are ignored, seconds since 1970"
    return (Feature("erased_s", "float64", SCALAR, erased, 0, "", "folding"), *_bookkeeping())


def _text(config: FeatureConfig) -> Features:
    return (
        Feature("text_vector", "float64", config.text_dims, "unit vector, 0 without text", 0, "", "catalogue"),
        Feature("encoder", "int64", SCALAR, "fingerprint of the encoder behind text_vector", 0, "", "catalogue"),
        Feature("updated_s", "float64", SCALAR, "time of the newest update, seconds since 1970", 0, "", "catalogue"),
    )


def _scenario_features(config: FeatureConfig) -> Features:
    name = Feature("name", "string", SCALAR, "display name", "", "", "catalogue")
    return (name, *_text(config), *_bookkeeping())


def _index_features() -> Features:
    return (Feature("scenario_ids", "string", VARIABLE, "ids of all scenarios", "", "", "catalogue"), *_bookkeeping())


def _topic_features() -> Features:
    return (
        Feature("topic_id", "string", SCALAR, "broker's id of the topic of stored positions", "", "", "topic_state"),
        Feature("partitions", "int64", SCALAR, "number of its partitions", 0, "", "topic_state"),
        Feature("from_offsets", "int64", VARIABLE, "offset per partition where folding starts", 0, "", "topic_state"),
        *_bookkeeping(),
    )


def _scenario_activity(config: FeatureConfig, counts: Features) -> Features:
    longest = f"{config.half_lives_s[-1]:g} s"
    hours = Feature("hours", "float64", 24, "engagement at time_s by hour of day, UTC", 0, longest, "activity")
    return (*counts, hours, *_bookkeeping())


def _item_features(config: FeatureConfig) -> Features:
    return (
        Feature("title", "string", SCALAR, "display name", "", "", "catalogue"),
        *_text(config),
        Feature("created_s", "float64", SCALAR, "time of the oldest update, seconds since 1970", 0, "", "catalogue"),
        Feature("facet_keys", "int64", len(config.facets), f"keys of {', '.join(config.facets)}", 0, "", "catalogue"),
        Feature("price", "float64", SCALAR, "list price, -1 if unknown", -1.0, "", "catalogue"),
        _attributes(config, "item"),
        *_categories(config, "item"),
        *_bookkeeping(),
    )


def _repeat_features(config: FeatureConfig) -> Features:
    half_lives = ", ".join(f"{half_life:g} s" for half_life in config.half_lives_s)
    longest = f"{config.half_lives_s[-1]:g} s"
    paid = "sum of log(1 + price paid), number of prices, at time_s"
    repeat = "decayed engagement at time_s of users who had engaged with it before, by half-life"
    return (
        Feature("repeat_engagement", "float64", len(config.half_lives_s), repeat, 0, half_lives, "activity"),
        Feature("unique_users", "float64", SCALAR, "users who ever engaged with it", 0, "", "activity"),
        Feature("paid", "float64", 2, paid, 0, longest, "activity"),
    )


def _facet_activity(config: FeatureConfig, counts: Features) -> Features:
    return (*counts, *_repeat_features(config), *_bookkeeping())


def _item_activity(config: FeatureConfig, counts: Features) -> Features:
    return (
        *counts,
        *_repeat_features(config),
        Feature("last_value", "float64", SCALAR, "newest price paid, -1 if none is known", -1.0, "", "activity"),
        Feature("last_value_s", "float64", SCALAR, "time of last_value, seconds since 1970", 0, "", "activity"),
        *_bookkeeping(),
    )


def _item_scenario_features(config: FeatureConfig) -> Features:
    updated = "time of the newest update, seconds since 1970"
    updated_s = Feature("updated_s", "float64", SCALAR, updated, 0, "", "catalogue")
    return (_attributes(config, "item_scenario"), updated_s, *_bookkeeping())


def _profile(config: FeatureConfig) -> Features:
    """Attributes of users; nothing where none is declared, so that rows and reads stay as they are."""
    if not config.attributes_of("user"):
        return ()
    updated = "time of the newest update of attributes, seconds since 1970"
    updated_s = Feature("profile_s", "float64", SCALAR, updated, 0, "", "profile")
    return (_attributes(config, "user", "profile"), *_categories(config, "user", "profile"), updated_s)


def _attributes(config: FeatureConfig, entity: AttributeEntity, updated_by: str = "catalogue") -> Feature:
    declared = config.numbers_of(entity)
    names = tuple(attribute.name for attribute in declared)
    defaults = tuple(attribute.default for attribute in declared)
    what = f"declared numeric attributes: {', '.join(names) or 'none'}"
    return Feature("attributes", "float64", len(declared), what, defaults, "", updated_by, names)


def _categories(config: FeatureConfig, entity: AttributeEntity, updated_by: str = "catalogue") -> Features:
    names = tuple(attribute.name for attribute in config.categories_of(entity))
    if not names:
        return ()
    what = f"keys of the values of {', '.join(names)}, {SLOTS} each; 0: none"
    return (Feature("category_keys", "int64", SLOTS * len(names), what, 0, "", updated_by, names),)
