"""Encode candidates: what all users do with each item, over all scenarios and in each, and what its user does.

The last column of each candidate, the similarity of texts, is left to `encode`: this module knows no texts.
"""

from collections.abc import Sequence

import numpy as np

from services.features.attributes import transform_attributes
from services.features.config import FeatureConfig
from services.features.feature_rows import FeatureRows
from services.features.item_columns import PrecomputedActivity, Singles
from services.features.item_vectors import ItemVectors, fill_vectors, vector_names, vector_width
from services.features.matching import (
    TableLookup,
    fill_habits,
    fill_matches,
    habit_names,
    habit_width,
    lookup,
    match_names,
    match_width,
)
from services.features.opinions import (
    Prior,
    describe_opinions,
    described_width,
    fill_user_opinions,
    opinion_names,
    posterior,
    user_opinion_names,
    user_opinion_width,
)
from services.features.population import decay_sums, population_features, repeat_names, total_names
from services.features.rows import Block, Ints
from services.features.schema import Schema


def item_names(config: FeatureConfig) -> tuple[str, ...]:
    """Names of the columns of `encode_items`."""
    totals, repeats = total_names(config), repeat_names(config)
    said = opinion_names(config, config.horizons_s)
    return (
        *(f"item_{name}" for name in totals),
        *("item_age_days", "price_known", "price", "value_known", "value"),
        *(f"item_{column}" for column in config.columns_of("item")),
        *(f"item_all_scenarios_{a.name}" for a in config.attributes_of("item_scenario")),
        *(f"item_{name}" for name in repeats),
        *(f"{facet}_{name}" for facet in config.facets for name in (*totals, *repeats)),
        *("price_to_usual", *(f"price_to_{facet}" for facet in config.facets)),
        *(f"{of}_{name}" for of in ("item", *config.facets) for name in said),
        *(f"user_{name}" for name in match_names(config)),
        *habit_names(config),
        *user_opinion_names(config),
        *vector_names(config),
        "user_text_similarity",
    )


def cross_names(config: FeatureConfig) -> tuple[str, ...]:
    """Names of the columns of `encode_cross`."""
    return (
        *(f"item_scenario_{name}" for name in total_names(config)),
        *(f"item_scenario_{a.name}" for a in config.attributes_of("item_scenario")),
        "item_scenario_age_days",
        *(f"item_scenario_{name}" for name in opinion_names(config, config.horizons_s)),
        *(f"user_scenario_{name}" for name in match_names(config)),
        "user_scenario_text_similarity",
    )


def encode_items(schema: Schema, rows: FeatureRows, prior: Prior | None, vectors: Sequence[ItemVectors]) -> Singles:
    """Population and user features of each candidate and its facets, named by `item_names`: [N, X]."""
    config = schema.config
    totals_and_repeats, rate = population_features(config, rows.time_s, rows.item_activity)
    of_facets, facet_rate = population_features(config, rows.time_s, rows.facet_activity)
    totals = 2 * len(config.half_lives_s)
    columns = [
        totals_and_repeats[:, :totals],
        _fixed_columns(schema, rows),
        totals_and_repeats[:, totals:],
        of_facets.take(rows.items.facet, axis=0).reshape(len(totals_and_repeats), -1),
        _price_level(rows),
        *_item_opinions(schema, rows, prior),
    ]
    all_users = np.concatenate(columns, axis=1)
    width = all_users.shape[1]
    matched = width + match_width(config)
    habits = matched + habit_width(config)
    learned = habits + user_opinion_width(config)
    out = np.empty((len(rows.pair_item), learned + vector_width(config) + 1), np.float32)
    out[:, :width] = rows.of_pairs(all_users)
    item, facet = _lookup_tables(schema, rows, rows.user, rows.pair_request)
    fill_matches(config, rows, item, facet, out[:, width:matched])
    fill_habits(config, rows, item, facet, (rate, facet_rate), out[:, matched:habits])
    if prior:
        fill_user_opinions(config, rows, prior, out[:, habits:learned])
    fill_vectors(config, rows, vectors, out[:, learned:-1])
    return out


def _item_opinions(schema: Schema, rows: FeatureRows, prior: Prior | None) -> list[Singles]:
    """Columns of opinions of items and of each of their facets, where the schema has them: [I, ...]."""
    if prior is None:
        return []
    config = schema.config

    def describe(activity: PrecomputedActivity, expected: Prior) -> Singles:
        elapsed_s = rows.time_s - activity.time_s
        return describe_opinions(config, activity.opinions(config), elapsed_s, config.horizons_s, expected)

    expected = prior.of_items(rows)
    of_facets = describe(rows.facet_activity, prior.of_facets(rows)).take(rows.items.facet, axis=0)
    return [describe(rows.item_activity, expected), of_facets.reshape(len(rows.items), -1)]


def _lookup_tables(schema: Schema, rows: FeatureRows, block: Block, row: Ints) -> tuple[TableLookup, TableLookup]:
    """Look up each candidate, and each of its facets, in the tables of rows `row` [N, ...] of a block."""
    config = schema.config
    wide = (-1, *(1,) * (row.ndim - 1))
    item = lookup(config, block, "item", row, rows.sorted_items, rows.pair_item.reshape(wide))
    facet = rows.pair_facet.reshape(*wide, rows.pair_facet.shape[1])
    return item, lookup(config, block, "facet", row[..., None], rows.sorted_facets, facet)


def _fixed_columns(schema: Schema, rows: FeatureRows) -> Singles:
    """Age, prices and attributes of items, [I, ...]."""
    fixed, declared = rows.items.fixed, schema.config.attributes_of("item_scenario")
    age = rows.age_days(rows.items.created_s).astype(np.float32)[:, None]
    if not declared:
        return np.concatenate([age, fixed], axis=1)
    given = rows.pairs.attributes(schema.config)
    everywhere = given.reshape(len(fixed), rows.scenario.size, -1).sum(axis=1)
    return np.concatenate([age, fixed, transform_attributes(everywhere, declared)], axis=1)


def _price_level(rows: FeatureRows) -> Singles:
    """Log of the last price against the usual one of the item and of each of its facets, 0 if unknown: [I, 1 + F]."""
    known, last = rows.items.last_price.T[:, :, None]
    of_facets = rows.facet_activity.usual_price.take(rows.items.facet, axis=0)
    usual = np.concatenate([rows.item_activity.usual_price[:, None], of_facets], axis=1)
    result: Singles = (last - usual[..., 0]) * (known * usual[..., 1])
    return result


def encode_cross(schema: Schema, rows: FeatureRows, prior: Prior | None) -> Singles:
    """Population, attribute and user features per candidate and scenario, named by `cross_names`: [N, J, C]."""
    config, scenarios = schema.config, rows.scenario.size
    declared, totals = config.attributes_of("item_scenario"), 2 * len(config.half_lives_s)
    attributes = totals + len(declared)
    width = attributes + 1 + described_width(config, config.horizons_s)
    both = np.empty((len(rows.pairs), width), np.float32)
    engaged = np.empty((totals, len(both)), np.float32)
    decay_sums(config, rows.time_s - rows.pairs.times_s[:, 0], rows.pairs.values[:, :totals], engaged)
    both[:, :totals] = np.log1p(engaged, out=engaged).T
    both[:, totals:attributes] = transform_attributes(rows.pairs.attributes(config), declared)
    both[:, attributes] = rows.age_days(rows.pairs.times_s[:, 1])
    if prior:
        of_item = posterior(config, rows.item_activity.opinions(config), prior.of_items(rows)).repeat(scenarios)
        elapsed_s = rows.time_s - rows.pairs.times_s[:, 0]
        said = describe_opinions(config, rows.pairs.opinions(config), elapsed_s, config.horizons_s, of_item)
        both[:, attributes + 1 :] = said
    out = np.empty((len(rows.pair_item), scenarios, width + match_width(config) + 1), np.float32)
    out[:, :, :width] = rows.of_pairs(both.reshape(len(rows.items), scenarios, width))
    row = rows.pair_request[:, None] * scenarios + np.arange(scenarios)
    fill_matches(config, rows, *_lookup_tables(schema, rows, rows.user_scenario, row), out[:, :, width:-1])
    return out
