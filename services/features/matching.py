"""What a user did with each candidate and its kind: tables of users matched against all candidates at once.

Vectorised over candidates and scenarios. Knows tables and candidates; knows nothing of where rows come from.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from services.features.config import DAY_S, FeatureConfig
from services.features.decay import factors
from services.features.hydrated import Hydrated
from services.features.population import Population
from services.features.rows import Block, Floats, Ints
from services.features.tables import Table, table_of


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


@dataclass(frozen=True)
class Matches:
    """Entries of each candidate [N, ...] and of each of its facets [N, ..., F] in tables of users."""

    item: Entries
    facet: Entries


def matches(config: FeatureConfig, rows: Hydrated, block: Block, row: Ints) -> Matches:
    """Looks each candidate up in the tables of rows `row` [N, ...]."""
    wide = rows.pair_item.reshape(-1, *(1,) * (row.ndim - 1))
    items, facets = table_of(config, block, "item"), table_of(config, block, "facet")
    keys = rows.item.ints("facet_keys")[wide]
    return Matches(
        _look_up(rows, items, config.table_half_lives("item"), row, rows.item_key[wide]),
        _look_up(rows, facets, config.table_half_lives("facet"), row[..., None], keys),
    )


def match_names(config: FeatureConfig) -> tuple[str, ...]:
    """Names of the columns of `match_features`."""
    kinds = tuple(f"{facet}_{h:g}s" for facet in config.facets for h in config.half_lives_s)
    return ("item_known", "item_age_days", *(f"item_{h:g}s" for h in config.half_lives_s), *kinds)


def match_features(config: FeatureConfig, rows: Hydrated, found: Matches) -> Floats:
    """What was found, as features: [N, ..., M]."""
    engagement = found.facet.value[..., : len(config.half_lives_s)]
    kinds = np.log1p(engagement).reshape(*found.item.known.shape, -1)
    known = found.item.known.astype(np.float64)[..., None]
    parts = [known, rows.age_days(found.item.time_s)[..., None], np.log1p(found.item.value), kinds]
    return np.concatenate(parts, axis=-1)


def habit_names(config: FeatureConfig) -> tuple[str, ...]:
    """Names of the columns of `habit_features`."""
    per_facet = ("age_days", "returns_due", "impression", "price_to_habit")
    return (
        *("user_item_tenure_days", "user_item_returns_due"),
        *(f"user_{facet}_{name}" for name in per_facet for facet in config.facets),
    )


def habit_features(
    config: FeatureConfig, rows: Hydrated, mine: Matches, items: Population, facets: Population
) -> Floats:
    """The user's rhythm, exposure and price level with each candidate and its facets, over all scenarios: [N, ...].

    Returns due: time since the user's last engagement times the population's rate of return, as a log.

    Args:
        config: choices behind the features.
        rows: the requests' rows.
        mine: what was found of the candidates in the rows of `user`.
        items: of rows.item_activity.
        facets: of rows.facet_activity.
    """
    seen_table, item_facet = table_of(config, rows.user, "seen"), rows.item_facet[rows.pair_item]
    keys = rows.item.ints("facet_keys")[rows.pair_item]
    half_lives = config.table_half_lives("seen")
    seen = _look_up(rows, seen_table, half_lives, rows.pair_request[:, None], keys).value[..., 0]
    last = rows.item_activity.floats("last_value")[rows.pair_item][:, None]
    paid, prices = mine.facet.value[..., -2], mine.facet.value[..., -1]
    has_price = (prices > 1e-9) & (last >= 0)
    habit = np.where(has_price, np.log1p(np.maximum(last, 0.0)) - paid / np.where(has_price, prices, 1.0), 0.0)
    due = _due(rows, mine.item.time_s, items.return_rate[rows.pair_item])
    kinds_due = _due(rows, mine.facet.time_s, facets.return_rate[item_facet])
    columns = [
        rows.age_days(mine.item.first_s),
        due,
        rows.age_days(mine.facet.time_s),
        kinds_due,
        np.log1p(seen),
        habit,
    ]
    return np.column_stack(columns)


def _due(rows: Hydrated, last_s: Floats, rate: Floats) -> Floats:
    """log(1 + expected returns since the last engagement), 0 where there was none; rate per day."""
    elapsed = np.maximum(rows.time_s - last_s, 0.0) / DAY_S
    result: Floats = np.where(last_s > 0, np.log1p(elapsed * rate), 0.0)
    return result


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
