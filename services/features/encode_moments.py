"""Encodes requests of many moments in one call, as if each moment were encoded alone, to the bit.

Features depend on the time since something happened, never on the time itself. So rows as of different moments are
moved in time until all moments are now: what is encoded then is exact, since only times are moved that differ from
their moment by as much as before. Knows nothing of where rows come from.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from services.features.encode import Tensors, encode, encode_scenarios, language_vectors, text_similarity
from services.features.feature_rows import FeatureRows
from services.features.item_vectors import ItemVectors
from services.features.opinions import population_prior
from services.features.rows import Block, Floats, Ints, Ragged
from services.features.schema import Schema, View


class InexactShift(Exception):
    """Times cannot be moved without rounding."""


@dataclass(frozen=True)
class MomentRows:
    """The rows of R requests of M moments over J source scenarios, all moved to one time.

    Args:
        rows: the rows; those of scenarios are [M * J], scenario fastest. An item, pair or facet has a row per moment.
        time_s: [M] the moments, seconds since 1970, rising.
        request_moment: [R] moment of each request; rising.
        sources: J.
    """

    rows: FeatureRows
    time_s: Floats
    request_moment: Ints
    sources: int


def shift_times(block: Block, from_s: Floats, to_s: float) -> Block:
    """Rows [R] as of `from_s` [R], with all their times moved by what lies between it and `to_s`.

    Times of 0 (never) stay. Raises InexactShift if a moved time would be rounded.
    """
    by_s = to_s - from_s
    if (from_s + by_s != to_s).any():
        raise InexactShift
    names = _time_columns(block.view)
    fixed: dict[str, NDArray[np.generic]] = {
        name: _shift(block.floats(name), by_s) for name in names if name in block.fixed
    }
    ragged = {
        name: Ragged(_shift(column.values.astype(np.float64, copy=False), by_s[column.row]), column.lengths)
        for name, column in ((name, block.ragged[name]) for name in names if name in block.ragged)
    }
    return block.with_columns(fixed, ragged)


def _time_columns(view: View) -> list[str]:
    return [feature.name for feature in view.features if feature.name.endswith("_s") and feature.dtype == "float64"]


def _shift(times: Floats, by_s: Floats) -> Floats:
    moved = times + by_s
    if (moved - times != by_s).any():
        raise InexactShift
    return np.where(times == 0, 0.0, moved)


def encode_moments(schema: Schema, moments: MomentRows, vectors: Sequence[ItemVectors] = ()) -> Tensors:
    """The tensors of the requests; `scenario` is [M, J, S]. `vectors` are those of each moment, or none are known."""
    rows, sources = moments.rows, moments.sources
    scenario = encode_scenarios(schema, rows).astype(np.float32)
    own = np.arange(sources)
    narrow = replace(rows, scenario=rows.scenario.take(own), scenario_activity=rows.scenario_activity.take(own))
    prior = None
    if schema.config.liked_from:
        of_moment = population_prior(schema.config, rows.scenario_activity, len(moments.time_s))
        prior = of_moment.take(moments.request_moment)
    of_request = [vectors[moment] for moment in moments.request_moment.tolist()] if vectors else ()
    tensors = encode(schema, narrow, prior, of_request)
    if len(moments.time_s) > 1:
        _compare_texts_alone(moments, tensors)
    return replace(tensors, scenario=scenario.reshape(len(moments.time_s), sources, -1))


def _compare_texts_alone(moments: MomentRows, tensors: Tensors) -> None:
    """Compare the texts of requests that are alone in their moment as `encode` does for one request."""
    rows, moment = moments.rows, moments.request_moment
    overall = language_vectors(rows.user, rows)
    pair_moment = moment[rows.pair_request]
    numbers = np.arange(len(moments.time_s))
    begins, ends = np.searchsorted(pair_moment, numbers), np.searchsorted(pair_moment, numbers, "right")
    first = np.searchsorted(moment, numbers)
    alone = np.flatnonzero(np.bincount(moment) == 1)
    for begin, end, request in zip(begins[alone].tolist(), ends[alone].tolist(), first[alone].tolist(), strict=True):
        text, one = tensors.item_text[begin:end], np.zeros(end - begin, np.int64)
        tensors.item[begin:end, -1] = text_similarity(text, overall[request][None, None], one)[:, 0]
        tensors.cross[begin:end, :, -1] = text_similarity(text, tensors.language[request][None], one)
