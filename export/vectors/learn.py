"""Vectors of items learned from the interactions before one time, with what contents say where there is no history."""

from dataclasses import dataclass

import numpy as np

from export.vectors.content import Content, fit_content
from export.vectors.factorise import Entries, Factors, factorise
from export.vectors.interactions import Interactions
from services.features.config import FeatureConfig
from services.features.hashing import keys64
from services.features.item_vectors import ItemVectors
from services.features.rows import Floats, Ints

RIDGE, BIAS_RIDGE = 15.0, 5.0
"""Chosen on validation rows of film ratings and of purchases; from 4 to 20 metrics differ by less than a thousandth."""

GAIN = 4.0
"""Confidence that a unit of log(1 + engagement) adds to 1."""

FIRST_PASSES, MORE_PASSES = 8, 3
"""Passes from random vectors, and from those of the period before."""


@dataclass(frozen=True)
class Learned:
    """Vectors, and the factors from which those of a later time begin."""

    vectors: ItemVectors
    factors: Factors


def learn_vectors(config: FeatureConfig, past: Interactions, content: Content, start: Factors | None = None) -> Learned:
    """Learn vectors from interactions; `content` is that of the items, in their order."""
    is_engagement = not config.opinion_types
    value = _scale(past, len(config.opinion_types))
    entries = _engaged(config, past) if is_engagement else _said(past, value)
    begin = start or Factors(np.zeros((len(past.items), config.item_vectors)), np.zeros(len(past.items)))
    found = factorise(
        entries, begin, RIDGE, BIAS_RIDGE, MORE_PASSES if start else FIRST_PASSES, engagement=is_engagement
    )
    users = np.bincount(entries.item, minlength=len(past.items)).astype(np.float64)
    both = np.concatenate([found.vector, found.bias[:, None]], axis=1)
    contents = fit_content(content, both, users)
    known = np.flatnonzero(users)
    key = keys64(past.items[item] for item in known.tolist())
    order = np.argsort(key)
    vectors = ItemVectors(
        key=key[order],
        vector=both[known[order]].astype(np.float32),
        users=users[known[order]].astype(np.float32),
        facet_key=contents.facet_key,
        facet_vector=contents.facet_vector.astype(np.float32),
        text_vector=contents.text_vector.astype(np.float32),
        everything=found.vector.T @ found.vector if is_engagement else np.zeros((config.item_vectors,) * 2),
        ridge=np.array([RIDGE, BIAS_RIDGE]),
        gain=np.array([GAIN]),
        value=value,
    )
    return Learned(vectors, found)


def _scale(past: Interactions, types: int) -> Floats:
    """Mean and deviation of each type's values, [types, 2]."""
    result = np.tile([0.0, 1.0], (types, 1))
    for number in range(types):
        own = past.value[past.kind == number]
        if len(own):
            result[number] = own.mean(), own.std() or 1.0
    return result


def _pairs(past: Interactions) -> tuple[Ints, Ints, Ints]:
    """User and item of each pair that met, and the pair of each interaction."""
    code = past.user.astype(np.int64) * len(past.items) + past.item
    pair, place = np.unique(code, return_inverse=True)
    return pair // len(past.items), pair % len(past.items), place


def _said(past: Interactions, scale: Floats) -> Entries:
    user, item, place = _pairs(past)
    number = np.bincount(place, minlength=len(user)).astype(np.float64)
    values = (past.value - scale[past.kind, 0]) / scale[past.kind, 1]
    return Entries(past.users, len(past.items), user, item, number, np.bincount(place, values, len(user)) / number)


def _engaged(config: FeatureConfig, past: Interactions) -> Entries:
    user, item, place = _pairs(past)
    newest = past.time_s[-1] if len(past) else 0.0
    count = np.bincount(place, past.value * np.exp2((past.time_s - newest) / config.half_lives_s[-1]), len(user))
    return Entries(past.users, len(past.items), user, item, GAIN * np.log1p(count), np.ones(len(user)))
