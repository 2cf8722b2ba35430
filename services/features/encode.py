"""Rows to model tensors at a request's time: decays, matches users' tables against candidates, scales.

One call encodes any number of requests of one time with their candidates, without a loop over items or
scenarios: the server encodes one request, the trainer a week of them, with the same arithmetic.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

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
        facet_activity: [G] rows, the first of which stands for 'no facet'.
        item_facet: [I, F] row of each facet of an item in facet_activity.
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
    facet_activity: Block
    item_facet: Ints
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
    mine = _matches(schema, rows, rows.user, rows.pair_request)
    language = _language(rows.user_scenario, rows).reshape(rows.user.size, -1, schema.config.text_dims)
    overall = _language(rows.user, rows)
    text = _vectors(rows.item, rows.encoder)[rows.pair_item]
    similarity = np.einsum("njd,nd->nj", language[rows.pair_request], text)[..., None]
    overall_similarity = np.einsum("nd,nd->n", overall[rows.pair_request], text)[..., None]
    parts = {
        "scenario": _scenario(schema, rows),
        "behavior": _behavior(schema, rows),
        "language": language,
        "item": np.concatenate(
            [_item(schema, rows), _match(schema, rows, mine), _habits(schema, rows, mine), overall_similarity], axis=-1
        ),
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
            *(f"item_all_scenarios_{a.name}" for a in config.attributes_of("item_scenario")),
            *(f"item_{name}" for name in _buyer_names(config)),
            *(f"{facet}_{name}" for facet in config.facets for name in (*totals, *_buyer_names(config))),
            *("price_to_usual", *(f"price_to_{facet}" for facet in config.facets)),
            *(f"user_{name}" for name in _match_names(config)),
            *_habit_names(config),
            "user_text_similarity",
        ),
        "item_text": text,
        "cross": (
            *(f"item_scenario_{name}" for name in totals),
            *(f"item_scenario_{a.name}" for a in config.attributes_of("item_scenario")),
            "item_scenario_age_days",
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
    everywhere = rows.item_scenario.floats("attributes").reshape(rows.item.size, rows.scenario.size, -1).sum(axis=1)
    facets = np.concatenate(
        [_engagement(schema, rows, rows.facet_activity), _buyers(schema, rows, rows.facet_activity)], axis=1
    )
    parts = [
        engagement,
        np.stack(columns, axis=1),
        attributes,
        _transformed(everywhere, schema.config.attributes_of("item_scenario")),
        _buyers(schema, rows, rows.item_activity),
        facets[rows.item_facet].reshape(rows.item.size, -1),
        _price_level(rows),
    ]
    return np.concatenate(parts, axis=1)[rows.pair_item]


def _buyer_names(config: FeatureConfig) -> tuple[str, ...]:
    return (*(f"returning_{h:g}s" for h in config.half_lives_s), "holders", "returns_per_day")


def _buyers(schema: Schema, rows: Hydrated, block: Block) -> Floats:
    """Engagement of returning users by half-life, holders, returns per holder and day, as logs: [rows, H + 2]."""
    remaining = factors(rows.time_s - block.floats("time_s"), schema.config.half_lives_s)
    again = np.log1p(block.floats("returning") * remaining)
    holders, rate = np.log1p(block.floats("holders")), np.log1p(_return_rate(schema, rows, block))
    return np.concatenate([again, holders[:, None], rate[:, None]], axis=1)


def _return_rate(schema: Schema, rows: Hydrated, block: Block) -> Floats:
    """How often someone who engaged before comes back, per day, in the recent past: [rows].

    Decayed returns over decayed time at risk. A holder since time f has been at risk for the integral of
    2^(-(t - s) / h) over s from f to t, which is h / ln 2 * (1 - 2^(-(t - f) / h)); summed over holders that is
    h / ln 2 * (holders - decayed first engagements). One holder with one return per four half-lives is the prior.
    """
    longest = schema.config.half_lives_s[-1]
    engagement = np.expm1(_engagement(schema, rows, block)[:, len(schema.config.half_lives_s) - 1])
    returning = block.floats("returning")[:, -1] * factors(rows.time_s - block.floats("time_s"), (longest,))[:, 0]
    firsts = np.maximum(engagement - returning, 0.0)
    risk_days = longest / np.log(2) / DAY_S * np.maximum(block.floats("holders") - firsts, 0.0)
    prior_days = longest / DAY_S
    result: Floats = (returning + 0.25) / (risk_days + prior_days)
    return result


def _usual_price(block: Block) -> tuple[Floats, NDArray[np.bool_]]:
    """Decayed mean of log(1 + price paid) and whether any price is known: [rows]."""
    total, number = block.floats("paid").T
    return total / np.where(number > 0, number, 1.0), number > 0


def _price_level(rows: Hydrated) -> Floats:
    """Log of the last price against the usual one of the item and of each of its facets, 0 if unknown: [I, 1 + F]."""
    last = rows.item_activity.floats("last_value")
    (own, own_known), (usual, known) = _usual_price(rows.item_activity), _usual_price(rows.facet_activity)
    usual = np.concatenate([own[:, None], usual[rows.item_facet]], axis=1)
    known = np.concatenate([own_known[:, None], known[rows.item_facet]], axis=1) & (last >= 0)[:, None]
    result: Floats = np.where(known, np.log1p(np.maximum(last, 0.0))[:, None] - usual, 0.0)
    return result


def _item_scenario(schema: Schema, rows: Hydrated) -> Floats:
    engagement = _engagement(schema, rows, rows.item_scenario_activity)
    declared = schema.config.attributes_of("item_scenario")
    attributes = _transformed(rows.item_scenario.floats("attributes"), declared)
    age = _age_days(rows, rows.item_scenario.floats("updated_s"))[:, None]
    both = np.concatenate([engagement, attributes, age], axis=1)
    return both.reshape(rows.item.size, rows.scenario.size, -1)[rows.pair_item]


def _match_names(config: FeatureConfig) -> tuple[str, ...]:
    kinds = tuple(f"{facet}_{h:g}s" for facet in config.facets for h in config.half_lives_s)
    return ("item_known", "item_age_days", *(f"item_{h:g}s" for h in config.half_lives_s), *kinds)


@dataclass(frozen=True)
class Matches:
    """Entries of each candidate [N, ...] and of each of its facets [N, ..., F] in tables of users."""

    item: "Entries"
    facet: "Entries"


def _matches(schema: Schema, rows: Hydrated, block: Block, row: Ints) -> Matches:
    """Looks each candidate up in the tables of rows `row` [N, ...]."""
    config = schema.config
    wide = rows.pair_item.reshape(-1, *(1,) * (row.ndim - 1))
    items, facets = table_of(config, block, "item"), table_of(config, block, "facet")
    keys = rows.item.ints("facet_keys")[wide]
    return Matches(
        _look_up(rows, items, config.table_half_lives("item"), row, rows.item_key[wide]),
        _look_up(rows, facets, config.table_half_lives("facet"), row[..., None], keys),
    )


def _match_each(schema: Schema, rows: Hydrated) -> Floats:
    """What the user did with each candidate and its kind in each scenario: [N, J, M]."""
    scenarios = rows.scenario.size
    row = rows.pair_request[:, None] * scenarios + np.arange(scenarios)
    return _match(schema, rows, _matches(schema, rows, rows.user_scenario, row))


def _match(schema: Schema, rows: Hydrated, found: Matches) -> Floats:
    """What was found, as features: [N, ..., M]."""
    engagement = found.facet.value[..., : len(schema.config.half_lives_s)]
    kinds = np.log1p(engagement).reshape(*found.item.known.shape, -1)
    known = found.item.known.astype(np.float64)[..., None]
    parts = [known, _age_days(rows, found.item.time_s)[..., None], np.log1p(found.item.value), kinds]
    return np.concatenate(parts, axis=-1)


def _habit_names(config: FeatureConfig) -> tuple[str, ...]:
    per_facet = ("age_days", "returns_due", "impression", "price_to_habit")
    return (
        *("user_item_tenure_days", "user_item_returns_due"),
        *(f"user_{facet}_{name}" for name in per_facet for facet in config.facets),
    )


def _habits(schema: Schema, rows: Hydrated, mine: Matches) -> Floats:
    """The user's rhythm, exposure and price level with each candidate and its facets, over all scenarios: [N, ...].

    Returns due: time since the user's last engagement times the population's rate of return, as a log.
    """
    config, longest = schema.config, schema.config.half_lives_s[-1]
    row, item_facet = rows.pair_request, rows.item_facet[rows.pair_item]
    keys = rows.item.ints("facet_keys")[rows.pair_item]
    item, facet = mine.item, mine.facet
    seen = _look_up(rows, table_of(config, rows.user, "seen"), (longest,), row[:, None], keys).value[..., 0]
    item_rate = _return_rate(schema, rows, rows.item_activity)[rows.pair_item]
    facet_rate = _return_rate(schema, rows, rows.facet_activity)[item_facet]
    last = rows.item_activity.floats("last_value")[rows.pair_item][:, None]
    paid, prices = facet.value[..., -2], facet.value[..., -1]
    has_price = (prices > 1e-9) & (last >= 0)
    habit = np.where(has_price, np.log1p(np.maximum(last, 0.0)) - paid / np.where(has_price, prices, 1.0), 0.0)
    own = [_age_days(rows, item.first_s), _due(rows, item.time_s, item_rate)]
    kinds = [_age_days(rows, facet.time_s), _due(rows, facet.time_s, facet_rate), np.log1p(seen), habit]
    return np.concatenate([np.stack(own, axis=1), *kinds], axis=1)


def _due(rows: Hydrated, last_s: Floats, rate: Floats) -> Floats:
    """log(1 + expected returns since the last engagement), 0 where there was none; rate per day."""
    elapsed = np.maximum(rows.time_s - last_s, 0.0) / DAY_S
    result: Floats = np.where(last_s > 0, np.log1p(elapsed * rate), 0.0)
    return result


@dataclass(frozen=True)
class Entries:
    """Table entries looked up.

    Args:
        known: [...] whether the entry is there.
        first_s: [...] time of its first event, 0 if it is not there.
        time_s: [...] time of its newest event, 0 if it is not there.
        value: [..., values] sums at the request's time.
    """

    known: NDArray[np.bool_]
    first_s: Floats
    time_s: Floats
    value: Floats


def _look_up(rows: Hydrated, table: Table, half_lives_s: tuple[float, ...], row: Ints, key: Ints) -> Entries:
    """The entries of (row, key) [...]; only the first len(half_lives_s) of their values."""
    place = table.find(row, key)
    known, width = place >= 0, len(half_lives_s)
    if not len(table.row):
        nothing = np.zeros(place.shape)
        return Entries(known, nothing, nothing, np.zeros((*place.shape, width)))
    first_s, time_s = np.where(known, table.first_s[place], 0.0), np.where(known, table.time_s[place], 0.0)
    value = table.value[place, :width] * factors(rows.time_s - time_s, half_lives_s)
    return Entries(known, first_s, time_s, np.where(known[..., None], value, 0.0))
