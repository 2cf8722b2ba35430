"""Rows to model tensors at a request's time: decays, matches users' tables against candidates, scales.

One call encodes any number of requests of one time with their candidates, without a loop over items or
scenarios: the server encodes one request, the trainer a week of them, with the same arithmetic.
"""

from dataclasses import dataclass

import numpy as np

from services.features.config import EVENT_TYPES, Attribute
from services.features.hydrated import Hydrated
from services.features.matching import habit_features, habit_names, match_features, match_names, matches
from services.features.population import (
    Population,
    buyer_names,
    decayed_counts,
    engagement,
    population,
    shares,
    total_names,
)
from services.features.rows import Block, Floats
from services.features.schema import Schema

LARGEST = 1e30
"""Largest attribute that a model sees."""


@dataclass(frozen=True)
class Tensors:
    """What models read: float32; names of the last axis in `tensor_names`.

    Args:
        scenario: [J, S] scenario features S_j.
        behavior: [R, J, B] behaviour features B_uj, B_u and the request's context.
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


def encode(schema: Schema, rows: Hydrated) -> Tensors:
    """The tensors of the requests."""
    language = _language(rows.user_scenario, rows).reshape(rows.user.size, -1, schema.config.text_dims)
    overall = _language(rows.user, rows)
    text = _vectors(rows.item, rows.encoder)[rows.pair_item]
    similarity = np.einsum("njd,nd->nj", language[rows.pair_request], text)[..., None]
    overall_similarity = np.einsum("nd,nd->n", overall[rows.pair_request], text)[..., None]
    parts = {
        "scenario": _scenario(schema, rows),
        "behavior": _behavior(schema, rows),
        "language": language,
        "item": np.concatenate([_item(schema, rows), overall_similarity], axis=-1),
        "item_text": text,
        "cross": np.concatenate([_item_scenario(schema, rows), _match_each(schema, rows), similarity], axis=-1),
    }
    return Tensors(**{name: part.astype(np.float32) for name, part in parts.items()})


def tensor_names(schema: Schema) -> dict[str, tuple[str, ...]]:
    """Names of the last axis of each tensor, in order."""
    config = schema.config
    text = tuple(f"text_{k}" for k in range(config.text_dims))
    counts = tuple(f"{kind}_{h:g}s" for kind in EVENT_TYPES for h in config.half_lives_s)
    mix = tuple(f"{kind}_share" for kind in EVENT_TYPES)
    totals, buyers = total_names(config), buyer_names(config)
    user = (*counts, "age_days")
    return {
        "scenario": (*text, *counts, *mix, *(f"hour_{hour}_share" for hour in range(24))),
        "behavior": (
            *(f"scenario_{name}" for name in user),
            *(f"all_{name}" for name in user),
            "scenario_share",
            *(f"context_{a.name}" for a in config.attributes_of("context")),
        ),
        "language": text,
        "item": (
            *(f"item_{name}" for name in totals),
            *("item_age_days", "price_known", "price", "value_known", "value"),
            *(f"item_{a.name}" for a in config.attributes_of("item")),
            *(f"item_all_scenarios_{a.name}" for a in config.attributes_of("item_scenario")),
            *(f"item_{name}" for name in buyers),
            *(f"{facet}_{name}" for facet in config.facets for name in (*totals, *buyers)),
            *("price_to_usual", *(f"price_to_{facet}" for facet in config.facets)),
            *(f"user_{name}" for name in match_names(config)),
            *habit_names(config),
            "user_text_similarity",
        ),
        "item_text": text,
        "cross": (
            *(f"item_scenario_{name}" for name in totals),
            *(f"item_scenario_{a.name}" for a in config.attributes_of("item_scenario")),
            "item_scenario_age_days",
            *(f"user_scenario_{name}" for name in match_names(config)),
            "user_scenario_text_similarity",
        ),
    }


def _vectors(block: Block, encoder: int) -> Floats:
    result: Floats = np.where((block.ints("encoder") == encoder)[:, None], block.floats("text_vector"), 0.0)
    return result


def _language(block: Block, rows: Hydrated) -> Floats:
    """Normalised language vectors of user rows, [rows, D]."""
    vectors = np.where((block.ints("encoder") == rows.encoder)[:, None], block.floats("language"), 0.0)
    norm = np.linalg.norm(vectors, axis=1, keepdims=True)
    result: Floats = vectors / np.where(norm > 0, norm, 1.0)
    return result


def _scenario(schema: Schema, rows: Hydrated) -> Floats:
    counts = decayed_counts(schema.config, rows.time_s, rows.scenario_activity)
    types, hours = counts[:, :, -1], rows.scenario_activity.floats("hours")
    return np.concatenate(
        [
            _vectors(rows.scenario, rows.encoder),
            np.log1p(counts).reshape(len(counts), -1),
            shares(types),
            shares(hours),
        ],
        axis=1,
    )


def _behavior(schema: Schema, rows: Hydrated) -> Floats:
    requests, scenarios = rows.user.size, rows.scenario.size
    each = _user(schema, rows, rows.user_scenario).reshape(requests, scenarios, -1)
    overall = np.repeat(_user(schema, rows, rows.user)[:, None], scenarios, axis=1)
    counts = decayed_counts(schema.config, rows.time_s, rows.user_scenario)
    totals = counts[:, :, -1].sum(axis=1).reshape(requests, scenarios)
    context = _transformed(rows.context, schema.config.attributes_of("context"))
    contexts = np.repeat(context[:, None], scenarios, axis=1)
    return np.concatenate([each, overall, shares(totals)[..., None], contexts], axis=2)


def _user(schema: Schema, rows: Hydrated, block: Block) -> Floats:
    counts = np.log1p(decayed_counts(schema.config, rows.time_s, block)).reshape(block.size, -1)
    return np.concatenate([counts, rows.age_days(block.floats("time_s"))[:, None]], axis=1)


def _transformed(values: Floats, attributes: tuple[Attribute, ...]) -> Floats:
    log = np.array([attribute.transform == "log1p" for attribute in attributes], bool)
    # Beyond this a value is not finite in the single precision that models read.
    bounded = np.clip(values, -LARGEST, LARGEST)
    result: Floats = np.where(log, np.sign(bounded) * np.log1p(np.abs(bounded)), bounded)
    return result


def _item(schema: Schema, rows: Hydrated) -> Floats:
    """What everybody did with each candidate and its facets, then what the user did: [N, ...]."""
    config = schema.config
    items = population(config, rows.time_s, rows.item_activity)
    facets = population(config, rows.time_s, rows.facet_activity)
    mine = matches(config, rows, rows.user, rows.pair_request)
    everybody = [items.totals, _described(schema, rows), items.buyers, _of_facets(rows, facets)]
    columns = np.concatenate([*everybody, _price_level(rows, items, facets)], axis=1)[rows.pair_item]
    user = [match_features(config, rows, mine), habit_features(config, rows, mine, items, facets)]
    return np.concatenate([columns, *user], axis=1)


def _described(schema: Schema, rows: Hydrated) -> Floats:
    """Age, prices and attributes of items, [I, ...]."""
    price, value = rows.item.floats("price"), rows.item_activity.floats("last_value")
    columns = [
        rows.age_days(rows.item.floats("created_s")),
        (price >= 0).astype(np.float64),
        np.log1p(np.maximum(price, 0.0)),
        (value >= 0).astype(np.float64),
        np.log1p(np.maximum(value, 0.0)),
    ]
    attributes = _transformed(rows.item.floats("attributes"), schema.config.attributes_of("item"))
    everywhere = rows.item_scenario.floats("attributes").reshape(rows.item.size, rows.scenario.size, -1).sum(axis=1)
    placed = _transformed(everywhere, schema.config.attributes_of("item_scenario"))
    return np.concatenate([np.stack(columns, axis=1), attributes, placed], axis=1)


def _of_facets(rows: Hydrated, facets: Population) -> Floats:
    """What everybody did with each facet of the items, facet by facet: [I, ...]."""
    features = np.concatenate([facets.totals, facets.buyers], axis=1)
    result: Floats = features[rows.item_facet].reshape(rows.item.size, -1)
    return result


def _price_level(rows: Hydrated, items: Population, facets: Population) -> Floats:
    """Log of the last price against the usual one of the item and of each of its facets, 0 if unknown: [I, 1 + F]."""
    last = rows.item_activity.floats("last_value")[:, None]
    usual = np.column_stack([items.usual_price, facets.usual_price[rows.item_facet]])
    known = np.column_stack([items.price_known, facets.price_known[rows.item_facet]]) & (last >= 0)
    result: Floats = np.where(known, np.log1p(np.maximum(last, 0.0)) - usual, 0.0)
    return result


def _item_scenario(schema: Schema, rows: Hydrated) -> Floats:
    totals = np.log1p(np.concatenate(engagement(schema.config, rows.time_s, rows.item_scenario_activity), axis=1))
    declared = schema.config.attributes_of("item_scenario")
    attributes = _transformed(rows.item_scenario.floats("attributes"), declared)
    age = rows.age_days(rows.item_scenario.floats("updated_s"))[:, None]
    both = np.concatenate([totals, attributes, age], axis=1)
    return both.reshape(rows.item.size, rows.scenario.size, -1)[rows.pair_item]


def _match_each(schema: Schema, rows: Hydrated) -> Floats:
    """What the user did with each candidate and its kind in each scenario: [N, J, M]."""
    scenarios = rows.scenario.size
    row = rows.pair_request[:, None] * scenarios + np.arange(scenarios)
    return match_features(schema.config, rows, matches(schema.config, rows, rows.user_scenario, row))
