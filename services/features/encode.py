"""Encode rows as model tensors at a request's time: decay, match users' tables against candidates, scale.

One call encodes any number of requests at one time with their candidates, without a loop over items or scenarios: the
server encodes one request, the trainer a week of requests, with the same arithmetic.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from services.features.attributes import expand_categories, transform_attributes
from services.features.feature_rows import FeatureRows
from services.features.item_columns import PrecomputedActivity, Singles
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
    fill_user_opinions,
    neutral_prior,
    opinion_names,
    population_prior,
    posterior,
    user_opinion_names,
)
from services.features.population import (
    decay_counts,
    decay_sums,
    population_features,
    repeat_names,
    shares,
    total_names,
)
from services.features.rows import Block, Floats, Ints
from services.features.schema import Schema


@dataclass(frozen=True)
class Tensors:
    """The model's inputs, float32; names of the last axis in `tensor_names`.

    Args:
        scenario: [J, S] scenario features S_j.
        behavior: [R, J, B] behaviour features B_uj, B_u, the request's context and the user's profile.
        language: [R, J, D] language features L_uj, unit vectors or 0.
        item: [N, X] item features X_n and the user's engagement with item and kind over all scenarios.
        item_text: [N, D] text vectors of the items.
        cross: [N, J, C] item features X_nj and the user's engagement with item and kind in scenario j.
    """

    scenario: np.ndarray
    behavior: np.ndarray
    language: np.ndarray
    item: np.ndarray
    item_text: np.ndarray
    cross: np.ndarray


def leading_shapes(items: int, scenarios: int) -> dict[str, tuple[int, ...]]:
    """Shape of each tensor of one request without its last axis, in the order of `Tensors`."""
    return {
        "scenario": (scenarios,),
        "behavior": (1, scenarios),
        "language": (1, scenarios),
        "item": (items,),
        "item_text": (items,),
        "cross": (items, scenarios),
    }


def encode(schema: Schema, rows: FeatureRows, prior: Prior | None = None) -> Tensors:
    """The tensors of the requests.

    Args:
        schema: the feature schema.
        rows: the requests' rows.
        prior: what is expected of opinions, per request; None: what the scenarios' rows say, for all of them.
    """
    language = language_vectors(rows.user_scenario, rows).reshape(rows.user.size, -1, schema.config.text_dims)
    overall = language_vectors(rows.user, rows)[:, None]
    text = rows.items.text[rows.pair_item].astype(np.float32)
    if prior is None and schema.config.liked_from:
        prior = population_prior(schema.config, rows.scenario_activity, 1)
    item = _item(schema, rows, prior)
    cross = _cross(schema, rows, prior)
    item[:, -1] = text_similarity(text, overall, rows.pair_request)[:, 0]
    cross[:, :, -1] = text_similarity(text, language, rows.pair_request)
    return Tensors(
        scenario=encode_scenarios(schema, rows).astype(np.float32),
        behavior=_behavior(schema, rows, prior).astype(np.float32),
        language=language,
        item=item,
        item_text=text,
        cross=cross,
    )


def tensor_names(schema: Schema) -> dict[str, tuple[str, ...]]:
    """Names of the last axis of each tensor, in order."""
    config = schema.config
    text = tuple(f"text_{k}" for k in range(config.text_dims))
    counts = tuple(f"{kind}_{h:g}s" for kind in schema.event_types for h in config.half_lives_s)
    mix = tuple(f"{kind}_share" for kind in schema.event_types)
    totals, repeats = total_names(config), repeat_names(config)
    said = opinion_names(config, config.horizons_s)
    user = (*counts, "age_days", *said)
    return {
        "scenario": (*text, *counts, *mix, *(f"hour_{hour}_share" for hour in range(24)), *said),
        "behavior": (
            *(f"scenario_{name}" for name in user),
            *(f"all_{name}" for name in user),
            "scenario_share",
            *(f"context_{column}" for column in config.columns_of("context")),
            *(f"profile_{column}" for column in config.columns_of("user")),
        ),
        "language": text,
        "item": (
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
            "user_text_similarity",
        ),
        "item_text": text,
        "cross": (
            *(f"item_scenario_{name}" for name in totals),
            *(f"item_scenario_{a.name}" for a in config.attributes_of("item_scenario")),
            "item_scenario_age_days",
            *(f"item_scenario_{name}" for name in said),
            *(f"user_scenario_{name}" for name in match_names(config)),
            "user_scenario_text_similarity",
        ),
    }


def language_vectors(block: Block, rows: FeatureRows) -> Singles:
    """Normalised language vectors of user rows, [rows, D]."""
    vectors = np.where((block.ints("encoder") == rows.encoder)[:, None], block.floats("language"), 0.0)
    norm = np.sqrt(np.einsum("rd,rd->r", vectors, vectors))[:, None]
    result: Singles = (vectors / np.where(norm > 0, norm, 1.0)).astype(np.float32)
    return result


def text_similarity(text: Singles, language: Singles, request: Ints) -> Singles:
    """Similarity of each candidate's text [N, D] to its user's language vectors [R, K, D]: [N, K]."""
    if len(language) == 1:
        single: Singles = text @ language[0].T
        return single
    result: Singles = np.einsum("nkd,nd->nk", language[request], text)
    return result


def encode_scenarios(schema: Schema, rows: FeatureRows) -> Floats:
    """Features of the rows of scenarios, [J, S]."""
    counts = decay_counts(schema.config, rows.time_s, rows.scenario_activity)
    types, hours = counts[:, :, -1], rows.scenario_activity.floats("hours")
    same_encoder = (rows.scenario.ints("encoder") == rows.encoder)[:, None]
    text = np.where(same_encoder, rows.scenario.floats("text_vector"), 0.0)
    columns = [text, np.log1p(counts).reshape(len(counts), -1), shares(types), shares(hours)]
    neutral = neutral_prior(schema.config) if schema.config.liked_from else None
    return np.concatenate([*columns, *_opinions(schema, rows, rows.scenario_activity, neutral)], axis=1)


def _opinions(schema: Schema, rows: FeatureRows, block: Block, prior: Prior | None) -> list[Singles]:
    """Columns of opinions of rows of users or scenarios, where the schema has them."""
    if prior is None:
        return []
    config, elapsed_s = schema.config, rows.time_s - block.floats("time_s")
    return [describe_opinions(config, block.floats("opinions"), elapsed_s, config.horizons_s, prior)]


def _behavior(schema: Schema, rows: FeatureRows, prior: Prior | None) -> Floats:
    requests, scenarios = rows.user.size, rows.scenario.size
    counts = decay_counts(schema.config, rows.time_s, rows.user_scenario)
    of_user = posterior(schema.config, rows.user.floats("opinions"), prior).repeat(scenarios) if prior else None
    each = _user(schema, rows, rows.user_scenario, counts, of_user).reshape(requests, scenarios, -1)
    overall = _user(schema, rows, rows.user, decay_counts(schema.config, rows.time_s, rows.user), prior)
    totals = counts[:, :, -1].sum(axis=1).reshape(requests, scenarios)
    context = transform_attributes(rows.context, schema.config.numbers_of("context"))
    for_all = np.repeat(
        np.concatenate([overall, context, *_profile(schema, rows.user)], axis=1)[:, None], scenarios, axis=1
    )
    width = overall.shape[1]
    return np.concatenate([each, for_all[:, :, :width], shares(totals)[..., None], for_all[:, :, width:]], axis=2)


def _profile(schema: Schema, user: Block) -> list[NDArray[np.floating]]:
    """Columns of the users' attributes, [R, ...] each: numbers, then categories; none where none is declared."""
    config = schema.config
    if not config.attributes_of("user"):
        return []
    columns = [transform_attributes(user.floats("attributes"), config.numbers_of("user"))]
    if declared := config.categories_of("user"):
        columns.append(expand_categories(declared, user.ints("category_keys")))
    return columns


def _user(schema: Schema, rows: FeatureRows, block: Block, counts: Floats, prior: Prior | None) -> Floats:
    logs = np.log1p(counts).reshape(block.size, -1)
    columns = [logs, rows.age_days(block.floats("time_s"))[:, None], *_opinions(schema, rows, block, prior)]
    return np.concatenate(columns, axis=1)


def _item(schema: Schema, rows: FeatureRows, prior: Prior | None) -> Singles:
    """Population and user features of each candidate and its facets, and an empty last column: [N, X]."""
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
    out = np.empty((len(rows.pair_item), habits + len(user_opinion_names(config)) + 1), np.float32)
    out[:, :width] = all_users[rows.pair_item]
    item, facet = _lookup_tables(schema, rows, rows.user, rows.pair_request)
    fill_matches(config, rows, item, facet, out[:, width:matched])
    fill_habits(config, rows, item, facet, (rate, facet_rate), out[:, matched:habits])
    if prior:
        fill_user_opinions(config, rows, prior, out[:, habits:-1])
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
    wide = rows.pair_item.reshape(-1, *(1,) * (row.ndim - 1))
    item = lookup(config, block, "item", row, rows.items.key, wide)
    return item, lookup(config, block, "facet", row[..., None], rows.facet_key, rows.items.facet[wide])


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


def _cross(schema: Schema, rows: FeatureRows, prior: Prior | None) -> Singles:
    """Population, attribute and user features per candidate and scenario, and an empty last column: [N, J, C]."""
    config, scenarios = schema.config, rows.scenario.size
    declared, totals = config.attributes_of("item_scenario"), 2 * len(config.half_lives_s)
    attributes = totals + len(declared)
    width = attributes + 1 + len(opinion_names(config, config.horizons_s))
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
    out[:, :, :width] = both.reshape(len(rows.items), scenarios, width)[rows.pair_item]
    row = rows.pair_request[:, None] * scenarios + np.arange(scenarios)
    fill_matches(config, rows, *_lookup_tables(schema, rows, rows.user_scenario, row), out[:, :, width:-1])
    return out
