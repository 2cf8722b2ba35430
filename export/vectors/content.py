"""What the text and the facets of an item say of its vector: ridge regressions on the vectors that were learned.

They give a vector to an item that has no history, and replace that of one which too few users have touched.
"""

from dataclasses import dataclass

import numpy as np

from services.features.hashing import NO_KEY
from services.features.rows import Floats, Ints

TEXT_RIDGE, FACET_RIDGE = 10.0, 5.0
"""Weights, in items with much history, of the prior that a column of text, or a facet, says nothing."""

USERS_RIDGE = 5.0
"""Users after which half of what an item's vector could tell is known."""


@dataclass(frozen=True)
class Content:
    """The contents of the items.

    Args:
        text: [I, T] text vectors; zeros where there is none.
        facet_key: [I, F] keys of facets, broad to fine; NO_KEY: none.
    """

    text: Floats
    facet_key: Ints


@dataclass(frozen=True)
class ContentVectors:
    """What `ItemVectors` holds of contents: facet_key [G], facet_vector [G, D + 1], text_vector [T + 1, D + 1]."""

    facet_key: Ints
    facet_vector: Floats
    text_vector: Floats


def fit_content(content: Content, vector: Floats, users: Floats) -> ContentVectors:
    """Fit vectors [I, D + 1] of items that `users` [I] have touched, by text, then what it leaves by facets.

    A facet's share is the shrunk mean of what broader facets leave.
    """
    known = users > 0
    weight = users[known] / (users[known] + USERS_RIDGE)
    text = np.concatenate([content.text[known], np.ones((int(known.sum()), 1))], axis=1)
    system = (text * weight[:, None]).T @ text + np.diag([*[TEXT_RIDGE] * content.text.shape[1], 1e-6])
    by_text = np.linalg.solve(system, (text * weight[:, None]).T @ vector[known])
    left = vector[known] - text @ by_text
    keys, vectors = [], []
    for level in range(content.facet_key.shape[1]):
        own = content.facet_key[known, level]
        found, place = np.unique(own, return_inverse=True)
        total = np.zeros((len(found), vector.shape[1]))
        np.add.at(total, place, left * weight[:, None])
        mean = total / (np.bincount(place, weight, len(found)) + FACET_RIDGE)[:, None]
        mean[found == NO_KEY] = 0.0
        left = left - mean[place]
        keys.append(found[found != NO_KEY])
        vectors.append(mean[found != NO_KEY])
    key, first = np.unique(np.concatenate(keys), return_index=True)
    return ContentVectors(key, np.concatenate(vectors)[first], by_text)
