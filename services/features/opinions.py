"""Opinions: what the values of events say of items (ratings, stars, seconds of dwell), as sums in rows and tables.

An event of a type in `features.liked_from` that has a value is an opinion: it likes its item from the threshold on and
dislikes it below. Rows of users, items, facets and scenarios sum opinions up, decayed and over their lifetime; users'
tables do so per item and facet. Rows have no such column, and this module no work, where no type is listed.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from services.features.config import STATISTICS, FeatureConfig
from services.features.decay import decay_factors
from services.features.events import Events, is_liked
from services.features.feature_rows import FeatureRows
from services.features.item_columns import Singles
from services.features.matching import TableLookup, lookup
from services.features.rows import Block, Floats, Ints


def sum_opinions(
    config: FeatureConfig, events: Events, group: Ints, groups: int, elapsed_s: Floats, share: Floats | None = None
) -> Floats:
    """Sums of the opinions of each group: [groups, config.opinion_width].

    Args:
        config: feature settings.
        events: [E] events.
        group: [E] group of each event.
        groups: number of groups.
        elapsed_s: [E] seconds from each event to the reference time of its group.
        share: [E] weight of each event; None: 1.
    """
    horizons = config.horizons_s
    if not config.liked_from:
        return np.zeros((groups, 0))
    sums = np.zeros((groups, len(config.opinion_types), STATISTICS, len(horizons)))
    said = event_opinions(config, events)
    chosen = np.flatnonzero(said[:, :, 0].any(axis=1))
    if len(chosen):
        remaining = decay_factors(elapsed_s[chosen], horizons)
        if share is not None:
            remaining = remaining * share[chosen, None]
        np.add.at(sums, group[chosen], said[chosen][..., None] * remaining[:, None, None, :])
    return sums.reshape(groups, config.opinion_width)


def age_opinions(config: FeatureConfig, sums: Floats, elapsed_s: Floats) -> Floats:
    """Sums [R, config.opinion_width] after `elapsed_s` [R] seconds."""
    horizons = config.horizons_s
    by_horizon = sums.reshape(len(sums), sums.shape[1] // len(horizons), len(horizons))
    aged = by_horizon * decay_factors(elapsed_s, horizons)[:, None, :]
    result: Floats = aged.reshape(sums.shape)
    return result


def count_dislikes(config: FeatureConfig, block: Block) -> Floats:
    """Decayed opinions that dislike, of all types, at the time of each row: [R, half-lives]."""
    shape = (block.size, len(config.opinion_types), STATISTICS, len(config.horizons_s))
    by_type = block.floats("opinions").reshape(shape)[..., :-1]
    result: Floats = (by_type[:, :, 0] - by_type[:, :, 1]).sum(axis=1)
    return result


def event_opinions(config: FeatureConfig, events: Events) -> Floats:
    """What each event adds to the statistics of each type, [E, types, statistics]; zeros for those without opinion."""
    liked = is_liked(config, events)
    said = np.zeros((len(events), len(config.opinion_types), STATISTICS))
    for number, event_type in enumerate(config.opinion_types):
        chosen = np.flatnonzero((events.type == event_type) & np.isfinite(events.value))
        said[chosen, number, 0] = 1.0
        said[chosen, number, 1] = liked[chosen]
        said[chosen, number, 2] = events.value[chosen]
    return said


def entry_values(config: FeatureConfig, events: Events) -> Floats:
    """What each event adds to an entry of a table of opinions, in the order of `table_half_lives`: [E, values]."""
    said = event_opinions(config, events)
    return np.repeat(
        said.reshape(len(events), STATISTICS * len(config.opinion_types)), len(config.table_horizons_s), axis=1
    )


def entry_counts(config: FeatureConfig, values: Floats) -> Floats:
    """Opinions of all types, decayed by the longest half-life, in entries [E, values] of a table of opinions: [E]."""
    result: Floats = _by_type(config, values)[:, :, 0, 0].sum(axis=1)
    return result


def _by_type(config: FeatureConfig, values: NDArray[np.float64]) -> Floats:
    """Entries of a table of opinions as [E, types, statistics, (longest half-life, lifetime)]: a view."""
    return values.reshape(len(values), len(config.opinion_types), STATISTICS, len(config.table_horizons_s))


PRIOR_OPINIONS = 2.0
"""Opinions like those of the population that are added to those observed: few opinions say little."""


@dataclass(frozen=True)
class Prior:
    """What is expected of opinions before any is known, [requests, types], or [1, types] for all of them.

    Args:
        share: share of opinions that like.
        value: mean value.
    """

    share: Floats
    value: Floats

    def repeat(self, count: int) -> "Prior":
        """Each row `count` times."""
        return Prior(np.repeat(self.share, count, axis=0), np.repeat(self.value, count, axis=0))

    def of_items(self, rows: FeatureRows) -> "Prior":
        """Of the request of each item: [items, types]; items of several requests belong to the same moment."""
        if len(self.share) == 1:
            return self
        request = np.zeros(len(rows.items), np.int64)
        request[rows.pair_item] = rows.pair_request
        return self.take(request)

    def of_facets(self, rows: FeatureRows) -> "Prior":
        """Of the request of each facet: [facets, types]."""
        if len(self.share) == 1:
            return self
        request, item = np.zeros(len(rows.facet_key), np.int64), np.zeros(len(rows.items), np.int64)
        item[rows.pair_item] = rows.pair_request
        request[rows.items.facet] = item[:, None]
        return self.take(request)

    def take(self, rows: Ints) -> "Prior":
        """The rows at an index."""
        return Prior(self.share[rows], self.value[rows])


def neutral_prior(config: FeatureConfig) -> Prior:
    """Every other opinion likes, and values are at the threshold: [1, types]."""
    threshold = np.array([[config.liked_from[name] for name in config.opinion_names]])
    return Prior(np.full(threshold.shape, 0.5), threshold)


def population_prior(config: FeatureConfig, scenario_activity: Block, moments: int) -> Prior:
    """The opinions of all users in all scenarios, over the lifetime, at each moment: [moments, types].

    Rows [moments * J] of `scenario_activity`, scenario fastest.
    """
    scenarios = scenario_activity.size // moments
    shape = (moments, scenarios, len(config.opinion_types), STATISTICS, len(config.horizons_s))
    ever = scenario_activity.floats("opinions").reshape(shape)[..., -1].sum(axis=1)
    return _expect(ever, neutral_prior(config))


def opinion_names(config: FeatureConfig, horizons_s: Sequence[float]) -> tuple[str, ...]:
    """Names of the columns of `describe_opinions`."""
    spans = [f"{horizon:g}s" if math.isfinite(horizon) else "ever" for horizon in horizons_s]
    return tuple(
        f"{name}_{what}"
        for name in config.opinion_names
        for what in (*(f"liked_share_{span}" for span in spans), *(f"opinions_{span}" for span in spans), "value")
    )


def described_width(config: FeatureConfig, horizons_s: Sequence[float]) -> int:
    """How many columns `opinion_names` names."""
    return len(config.opinion_types) * (2 * len(horizons_s) + 1)


def describe_opinions(
    config: FeatureConfig, sums: NDArray[np.floating], elapsed_s: Floats, horizons_s: Sequence[float], prior: Prior
) -> Singles:
    """Columns of sums of opinions [R, types * statistics * horizons] that are `elapsed_s` [R] seconds old: [R, C].

    Per type: the share that likes, above the prior's, over each horizon; logs of 1 + the number of opinions; the
    mean value above the prior's, as sign(v) * log(1 + |v|). All are 0 without opinions.
    """
    shape = (len(sums), len(config.opinion_types), STATISTICS, len(horizons_s))
    now = sums.reshape(shape) * decay_factors(elapsed_s, horizons_s)[:, None, None, :]
    number, liked, value = now[:, :, 0], now[:, :, 1], now[:, :, 2, -1]
    weight = number + PRIOR_OPINIONS
    share = (liked - number * prior.share[..., None]) / weight
    margin = (value - number[..., -1] * prior.value) / weight[..., -1]
    margin = np.sign(margin) * np.log1p(np.abs(margin))
    columns = np.concatenate([share, np.log1p(number), margin[..., None]], axis=2)
    result: Singles = columns.reshape(len(sums), described_width(config, horizons_s)).astype(np.float32)
    return result


def posterior(config: FeatureConfig, sums: NDArray[np.floating], prior: Prior) -> Prior:
    """What is expected of further opinions in a part of what the sums [R, config.opinion_width] are of: [R, types]."""
    shape = (len(sums), len(config.opinion_types), STATISTICS, len(config.horizons_s))
    return _expect(sums.reshape(shape)[..., -1], prior)


def _expect(ever: NDArray[np.floating], prior: Prior) -> Prior:
    """What statistics over a lifetime [R, types, statistics] and a prior say together."""
    weight = ever[:, :, 0] + PRIOR_OPINIONS
    share = (ever[:, :, 1] + PRIOR_OPINIONS * prior.share) / weight
    return Prior(share, (ever[:, :, 2] + PRIOR_OPINIONS * prior.value) / weight)


def user_opinion_names(config: FeatureConfig) -> tuple[str, ...]:
    """Names of the columns that `fill_user_opinions` fills."""
    said = opinion_names(config, config.table_horizons_s)
    return tuple(f"user_{of}_{name}" for of in ("item", *config.facets) for name in said)


def user_opinion_width(config: FeatureConfig) -> int:
    """How many columns `user_opinion_names` names."""
    return (1 + len(config.facets)) * described_width(config, config.table_horizons_s)


def fill_user_opinions(config: FeatureConfig, rows: FeatureRows, prior: Prior, out: Singles) -> None:
    """Write the opinions of each candidate's user of the candidate and of its facets, against the user's other ones.

    Args:
        config: feature settings.
        rows: the requests' rows.
        prior: of the population.
        out: [N, columns] named by `user_opinion_names`.
    """
    of_user = posterior(config, rows.user.floats("opinions"), prior)
    width = described_width(config, config.table_horizons_s)

    def describe(found: TableLookup) -> Singles:
        elapsed_s = rows.time_s - found.table.time_s
        of_entry = of_user.take(found.table.row)
        return found.gather(describe_opinions(config, found.table.value, elapsed_s, config.table_horizons_s, of_entry))

    request, facet = rows.pair_request, rows.pair_facet
    out[:, :width] = describe(lookup(config, rows.user, "opinion_item", request, rows.sorted_items, rows.pair_item))
    by_facet = describe(lookup(config, rows.user, "opinion_facet", request[:, None], rows.sorted_facets, facet))
    out[:, width:] = by_facet.reshape(len(out), -1)
