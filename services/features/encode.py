"""Encode rows as model tensors at a request's time: decay, match users' tables against candidates, scale.

One call encodes any number of requests at one time with their candidates, without a loop over items or scenarios: the
server encodes one request, the trainer a week of requests, with the same arithmetic.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from services.features.attributes import expand_categories, transform_attributes
from services.features.encode_items import cross_names, encode_cross, encode_items, item_names
from services.features.feature_rows import FeatureRows
from services.features.item_columns import Singles
from services.features.item_vectors import ItemVectors
from services.features.opinions import (
    Prior,
    describe_opinions,
    neutral_prior,
    opinion_names,
    population_prior,
    posterior,
)
from services.features.population import decay_counts, shares
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


def encode(
    schema: Schema, rows: FeatureRows, prior: Prior | None = None, vectors: Sequence[ItemVectors] = ()
) -> Tensors:
    """The tensors of the requests.

    Args:
        schema: the feature schema.
        rows: the requests' rows.
        prior: what is expected of opinions, per request; None: what the scenarios' rows say, for all of them.
        vectors: learned vectors of items, per request, or one for all of them; empty: none are known.
    """
    language = language_vectors(rows.user_scenario, rows).reshape(rows.user.size, -1, schema.config.text_dims)
    overall = language_vectors(rows.user, rows)[:, None]
    text = rows.of_pairs(rows.items.text).astype(np.float32)
    if prior is None and schema.config.liked_from:
        prior = population_prior(schema.config, rows.scenario_activity, 1)
    item = encode_items(schema, rows, prior, vectors)
    cross = encode_cross(schema, rows, prior)
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
        "item": item_names(config),
        "item_text": text,
        "cross": cross_names(config),
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
