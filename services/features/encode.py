"""Rows to model tensors at a request's time: decays, matches users' tables against candidates, scales.

One call encodes any number of requests of one time with their candidates, without a loop over items or
scenarios: the server encodes one request, the trainer a week of them, with the same arithmetic.
"""

from dataclasses import dataclass

import numpy as np

from services.features.config import DAY_S, EVENT_TYPES, Attribute, FeatureConfig
from services.features.decay import factors
from services.features.rows import Block, Floats, Ints
from services.features.schema import Schema
from services.features.tables import Table, table_of

LARGEST = 1e30
"""Largest attribute that a model sees."""


@dataclass(frozen=True)
class Hydrated:
    """Everything that R requests over J scenarios, with N candidates among I items, rest on.

    Args:
        time_s: the requests' time, seconds since 1970.
        encoder: fingerprint of the encoder; vectors of another count as missing.
        scenario: [J] rows of `scenario`.
        scenario_activity: [J] rows.
        user: [R] rows of `user`.
        user_scenario: [R * J] rows, scenario fastest.
        item: [I] rows of `item`.
        item_activity: [I] rows.
        item_scenario: [I * J] rows, scenario fastest.
        item_scenario_activity: [I * J] rows.
        item_key: [I] keys of the item ids.
        pair_request: [N] request of each candidate.
        pair_item: [N] item of each candidate.
        context: [R, A] declared context attributes.
    """

    time_s: float
    encoder: int
    scenario: Block
    scenario_activity: Block
    user: Block
    user_scenario: Block
    item: Block
    item_activity: Block
    item_scenario: Block
    item_scenario_activity: Block
    item_key: Ints
    pair_request: Ints
    pair_item: Ints
    context: Floats


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
        "item": np.concatenate([_item(schema, rows), _match_all(schema, rows), overall_similarity], axis=-1),
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
    totals = _engagement_names(config)
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
            *(f"user_{name}" for name in _match_names(config)),
            "user_text_similarity",
        ),
        "item_text": text,
        "cross": (
            *(f"item_scenario_{name}" for name in totals),
            *(f"item_scenario_{a.name}" for a in config.attributes_of("item_scenario")),
            *(f"user_scenario_{name}" for name in _match_names(config)),
            "user_scenario_text_similarity",
        ),
    }


def _age_days(rows: Hydrated, time_s: Floats) -> Floats:
    """log(1 + days since), 0 where it never happened."""
    days = np.maximum(rows.time_s - time_s, 0.0) / DAY_S
    result: Floats = np.where(time_s > 0, np.log1p(days), 0.0)
    return result


def _decayed_counts(schema: Schema, rows: Hydrated, block: Block) -> Floats:
    """Counts at the request's time, [rows, types, half-lives]."""
    half_lives = schema.config.half_lives_s
    counts = block.floats("counts").reshape(block.size, len(EVENT_TYPES), len(half_lives))
    result: Floats = counts * factors(rows.time_s - block.floats("time_s"), half_lives)[:, None, :]
    return result


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
    counts = _decayed_counts(schema, rows, rows.scenario_activity)
    types, hours = counts[:, :, -1], rows.scenario_activity.floats("hours")
    return np.concatenate(
        [
            _vectors(rows.scenario, rows.encoder),
            np.log1p(counts).reshape(len(counts), -1),
            _shares(types),
            _shares(hours),
        ],
        axis=1,
    )


def _shares(values: Floats) -> Floats:
    total = values.sum(axis=-1, keepdims=True)
    result: Floats = values / np.where(total > 0, total, 1.0)
    return result


def _behavior(schema: Schema, rows: Hydrated) -> Floats:
    requests, scenarios = rows.user.size, rows.scenario.size
    each = _user(schema, rows, rows.user_scenario).reshape(requests, scenarios, -1)
    overall = np.repeat(_user(schema, rows, rows.user)[:, None], scenarios, axis=1)
    totals = _decayed_counts(schema, rows, rows.user_scenario)[:, :, -1].sum(axis=1).reshape(requests, scenarios)
    context = _transformed(rows.context, schema.config.attributes_of("context"))
    contexts = np.repeat(context[:, None], scenarios, axis=1)
    return np.concatenate([each, overall, _shares(totals)[..., None], contexts], axis=2)


def _user(schema: Schema, rows: Hydrated, block: Block) -> Floats:
    counts = np.log1p(_decayed_counts(schema, rows, block)).reshape(block.size, -1)
    return np.concatenate([counts, _age_days(rows, block.floats("time_s"))[:, None]], axis=1)


def _engagement_names(config: FeatureConfig) -> tuple[str, ...]:
    return tuple(f"{kind}_{h:g}s" for kind in ("engagement", "impression") for h in config.half_lives_s)


def _engagement(schema: Schema, rows: Hydrated, block: Block) -> Floats:
    """log(1 + decayed engagement) and log(1 + decayed impressions), [rows, 2 * half-lives]."""
    counts = _decayed_counts(schema, rows, block)
    weights = np.array([schema.config.engagement.get(kind, 0.0) for kind in EVENT_TYPES])
    engaged = np.einsum("rth,t->rh", counts, weights)
    both: Floats = np.log1p(np.concatenate([engaged, counts[:, EVENT_TYPES.index("impression")]], axis=1))
    return both


def _transformed(values: Floats, attributes: tuple[Attribute, ...]) -> Floats:
    log = np.array([attribute.transform == "log1p" for attribute in attributes], bool)
    # Beyond this a value is not finite in the single precision that models read.
    bounded = np.clip(values, -LARGEST, LARGEST)
    result: Floats = np.where(log, np.sign(bounded) * np.log1p(np.abs(bounded)), bounded)
    return result


def _item(schema: Schema, rows: Hydrated) -> Floats:
    price, value = rows.item.floats("price"), rows.item_activity.floats("last_value")
    columns = [
        _age_days(rows, rows.item.floats("created_s")),
        (price >= 0).astype(np.float64),
        np.log1p(np.maximum(price, 0.0)),
        (value >= 0).astype(np.float64),
        np.log1p(np.maximum(value, 0.0)),
    ]
    attributes = _transformed(rows.item.floats("attributes"), schema.config.attributes_of("item"))
    engagement = _engagement(schema, rows, rows.item_activity)
    return np.concatenate([engagement, np.stack(columns, axis=1), attributes], axis=1)[rows.pair_item]


def _item_scenario(schema: Schema, rows: Hydrated) -> Floats:
    engagement = _engagement(schema, rows, rows.item_scenario_activity)
    declared = schema.config.attributes_of("item_scenario")
    attributes = _transformed(rows.item_scenario.floats("attributes"), declared)
    both = np.concatenate([engagement, attributes], axis=1)
    return both.reshape(rows.item.size, rows.scenario.size, -1)[rows.pair_item]


def _match_names(config: FeatureConfig) -> tuple[str, ...]:
    kinds = tuple(f"{facet}_{h:g}s" for facet in config.facets for h in config.half_lives_s)
    return ("item_known", "item_age_days", *(f"item_{h:g}s" for h in config.half_lives_s), *kinds)


def _match_all(schema: Schema, rows: Hydrated) -> Floats:
    """What the user did with each candidate and its kind over all scenarios: [N, M]."""
    return _match(schema, rows, rows.user, rows.pair_request)


def _match_each(schema: Schema, rows: Hydrated) -> Floats:
    """What the user did with each candidate and its kind in each scenario: [N, J, M]."""
    scenarios = rows.scenario.size
    row = rows.pair_request[:, None] * scenarios + np.arange(scenarios)
    return _match(schema, rows, rows.user_scenario, row)


def _match(schema: Schema, rows: Hydrated, block: Block, row: Ints) -> Floats:
    """Looks each candidate up in the tables of rows `row` [N, ...]: [N, ..., M]."""
    half_lives = schema.config.half_lives_s
    items, facets = table_of(block, "item", len(half_lives)), table_of(block, "facet", len(half_lives))
    wide = rows.pair_item.reshape(-1, *(1,) * (row.ndim - 1))
    found, time_s, counts = _look_up(schema, rows, items, row, rows.item_key[wide])
    facet_keys = rows.item.ints("facet_keys")[wide]
    kinds = _look_up(schema, rows, facets, row[..., None], facet_keys)[2]
    parts = [found[..., None], _age_days(rows, time_s)[..., None], counts, kinds.reshape(*row.shape, -1)]
    return np.concatenate(parts, axis=-1)


def _look_up(schema: Schema, rows: Hydrated, table: Table, row: Ints, key: Ints) -> tuple[Floats, Floats, Floats]:
    """Known (0/1), newest time (0 if never) and log(1 + decayed engagement) [..., H] of table entries."""
    place = table.find(row, key)
    known = place >= 0
    if not len(table.row):
        return (
            known.astype(np.float64),
            np.zeros(place.shape),
            np.zeros((*place.shape, len(schema.config.half_lives_s))),
        )
    time_s = np.where(known, table.time_s[place], 0.0)
    value = table.value[place] * factors(rows.time_s - time_s, schema.config.half_lives_s)
    return known.astype(np.float64), time_s, np.log1p(np.where(known[..., None], value, 0.0))
