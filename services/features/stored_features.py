"""The stored features of each view, as the settings make them. Knows nothing of rows, nor of how they are encoded."""

from typing import Literal

from services.features.attributes import SLOTS, AttributeEntity
from services.features.config import FeatureConfig, TableName
from services.features.feature import POSITION, SCALAR, VARIABLE, Feature, Features


def bookkeeping() -> Features:
    """Of every row: the newest record folded in, and the schema that it was written under."""
    return (
        Feature("position", "int64", 3, f"newest record folded in: {', '.join(POSITION)}", -1, "", "rows"),
        Feature("schema", "int64", SCALAR, "fingerprint of the schema that the row was written under", 0, "", "rows"),
    )


def count_features(config: FeatureConfig, event_types: tuple[str, ...], updated_by: str) -> Features:
    """Counts of events by type, and sums of opinions where the settings have any."""
    length = len(event_types) * len(config.half_lives_s)
    half_lives = _seconds(config.half_lives_s)
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
    half_lives = _seconds(config.horizons_s)
    names = tuple(f"{name} from {config.liked_from[name]:g}" for name in config.opinion_names)
    what = f"opinions at time_s, by type ({', '.join(names)}) x (number, likes, sum of values) x half-life"
    return (Feature("opinions", "float64", config.opinion_width, what, 0, half_lives, updated_by, names),)


def opinion_tables(config: FeatureConfig) -> Features:
    """Tables of a user's opinions per item and per facet; nothing where no values are opinions."""
    if not config.liked_from:
        return ()
    facets = "categories and brands of items with an opinion"
    values = "number, likes and sum of values of opinions"
    return (
        *table_features(config, "opinion_item", config.user_items, "items with an opinion", values),
        *table_features(config, "opinion_facet", config.user_facets, facets, values),
    )


def table_features(config: FeatureConfig, name: TableName, limit: int, what: str, values: str) -> Features:
    """A table inside a row: a column each of keys, first and newest times and values, all of one length."""
    half_lives = _seconds(config.table_half_lives(name))
    bound = f"at most {limit}, the weakest are evicted first"
    return (
        Feature(f"{name}_key", "int64", VARIABLE, f"keys of {what}; {bound}", 0, "", "tables"),
        Feature(f"{name}_first_s", "float64", VARIABLE, "time of the first event, seconds since 1970", 0, "", "tables"),
        Feature(f"{name}_s", "float64", VARIABLE, "time of the newest event, seconds since 1970", 0, "", "tables"),
        Feature(f"{name}_value", "float64", VARIABLE, f"{values} at that time", 0, half_lives, "tables"),
    )


def user_features(config: FeatureConfig, counts: Features, view: Literal["user", "user_scenario"]) -> Features:
    """Of a user, overall or in a scenario: counts, language, and tables of engaged items and facets."""
    items = config.user_items if view == "user" else config.user_scenario_items
    facets = config.user_facets if view == "user" else config.user_scenario_facets
    longest = _seconds(config.half_lives_s[-1:])
    vectors = "sum of engaged texts' vectors at time_s"
    paid = "engagement by half-life, sum of log(1 + price paid), number of prices"
    return (
        *counts,
        Feature("language", "float64", config.text_dims, vectors, 0, longest, "behavior"),
        Feature("encoder", "int64", SCALAR, "fingerprint of the encoder behind language", 0, "", "behavior"),
        *table_features(config, "item", items, "engaged items", "engagement by half-life"),
        *table_features(config, "facet", facets, "categories and brands of engaged items", paid),
        *bookkeeping(),
    )


def event_features(config: FeatureConfig) -> Features:
    """A user's last events, by which duplicates and first engagements are recognised."""
    which = f"of the last {config.event_ids} events and those of the newest batch"
    bits = "bit mask: whether the user had engaged before with the item, with each facet; above it, level of its weight"
    return (
        Feature("event_ids", "int64", VARIABLE, f"keys of the ids {which}", 0, "", "dedup"),
        Feature("event_seqs", "int64", VARIABLE, "their topic epoch * 2^40 + offset", 0, "", "dedup"),
        Feature("event_engaged_before", "int64", VARIABLE, bits, 0, "", "dedup"),
    )


def erasure_features() -> Features:
    """The time up to which a user is erased."""
    erased = "events of the user up to this time are ignored, seconds since 1970"
    return (Feature("erased_s", "float64", SCALAR, erased, 0, "", "folding"), *bookkeeping())


def _text(config: FeatureConfig) -> Features:
    return (
        Feature("text_vector", "float64", config.text_dims, "unit vector, 0 without text", 0, "", "catalogue"),
        Feature("encoder", "int64", SCALAR, "fingerprint of the encoder behind text_vector", 0, "", "catalogue"),
        Feature("updated_s", "float64", SCALAR, "time of the newest update, seconds since 1970", 0, "", "catalogue"),
    )


def scenario_features(config: FeatureConfig) -> Features:
    """What updates say of a scenario."""
    name = Feature("name", "string", SCALAR, "display name", "", "", "catalogue")
    return (name, *_text(config), *bookkeeping())


def index_features() -> Features:
    """The list of all scenarios."""
    return (Feature("scenario_ids", "string", VARIABLE, "ids of all scenarios", "", "", "catalogue"), *bookkeeping())


def topic_features() -> Features:
    """The topic that stored positions belong to."""
    return (
        Feature("topic_id", "string", SCALAR, "broker's id of the topic of stored positions", "", "", "topic_state"),
        Feature("partitions", "int64", SCALAR, "number of its partitions", 0, "", "topic_state"),
        Feature("from_offsets", "int64", VARIABLE, "offset per partition where folding starts", 0, "", "topic_state"),
        *bookkeeping(),
    )


def scenario_activity(config: FeatureConfig, counts: Features) -> Features:
    """Activity of all users in a scenario."""
    longest = _seconds(config.half_lives_s[-1:])
    hours = Feature("hours", "float64", 24, "engagement at time_s by hour of day, UTC", 0, longest, "activity")
    return (*counts, hours, *bookkeeping())


def item_features(config: FeatureConfig) -> Features:
    """What updates say of an item."""
    return (
        Feature("title", "string", SCALAR, "display name", "", "", "catalogue"),
        *_text(config),
        Feature("created_s", "float64", SCALAR, "time of the oldest update, seconds since 1970", 0, "", "catalogue"),
        Feature("facet_keys", "int64", len(config.facets), f"keys of {', '.join(config.facets)}", 0, "", "catalogue"),
        Feature("price", "float64", SCALAR, "list price, -1 if unknown", -1.0, "", "catalogue"),
        _attributes(config, "item"),
        *_categories(config, "item"),
        *bookkeeping(),
    )


def _repeat_features(config: FeatureConfig) -> Features:
    half_lives = _seconds(config.half_lives_s)
    longest = _seconds(config.half_lives_s[-1:])
    paid = "sum of log(1 + price paid), number of prices, at time_s"
    repeat = "decayed engagement at time_s of users who had engaged with it before, by half-life"
    return (
        Feature("repeat_engagement", "float64", len(config.half_lives_s), repeat, 0, half_lives, "activity"),
        Feature("unique_users", "float64", SCALAR, "users who ever engaged with it", 0, "", "activity"),
        Feature("paid", "float64", 2, paid, 0, longest, "activity"),
    )


def facet_activity(config: FeatureConfig, counts: Features) -> Features:
    """Activity of all users with items of a category or brand."""
    return (*counts, *_repeat_features(config), *bookkeeping())


def item_activity(config: FeatureConfig, counts: Features) -> Features:
    """Activity of all users with an item, and its newest price."""
    return (
        *counts,
        *_repeat_features(config),
        Feature("last_value", "float64", SCALAR, "newest price paid, -1 if none is known", -1.0, "", "activity"),
        Feature("last_value_s", "float64", SCALAR, "time of last_value, seconds since 1970", 0, "", "activity"),
        *bookkeeping(),
    )


def item_scenario_features(config: FeatureConfig) -> Features:
    """What updates say of an item in a scenario."""
    updated = "time of the newest update, seconds since 1970"
    updated_s = Feature("updated_s", "float64", SCALAR, updated, 0, "", "catalogue")
    return (_attributes(config, "item_scenario"), updated_s, *bookkeeping())


def profile_features(config: FeatureConfig) -> Features:
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


def _seconds(half_lives_s: tuple[float, ...]) -> str:
    return ", ".join(f"{half_life:g} s" for half_life in half_lives_s)
