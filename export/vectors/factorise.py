"""Alternating least squares: vectors of users and items whose products explain what users did with items, or said.

Koren, Bell and Volinsky, "Matrix factorization techniques for recommender systems" (2009), for opinions; Hu, Koren and
Volinsky, "Collaborative filtering for implicit feedback datasets" (2008), for engagement. All users, then all items,
are solved at once; sums over entries are taken in blocks, so memory does not grow with the number of events.
"""

from dataclasses import dataclass

import numpy as np

from services.features.rows import Floats, Ints

BLOCK_ENTRIES = 1 << 12
"""Entries whose outer products are in memory at once."""

BLOCK_SYSTEMS = 1 << 13
"""Systems of equations that are solved at once."""


@dataclass(frozen=True)
class Entries:
    """What each user did with each item, one entry per pair.

    Args:
        users: number of users.
        items: number of items.
        user: [E] number of the user.
        item: [E] number of the item.
        weight: [E] number of opinions; of engagement, the confidence beyond 1.
        value: [E] mean of the opinions; of engagement, 1.
    """

    users: int
    items: int
    user: Ints
    item: Ints
    weight: Floats
    value: Floats


@dataclass(frozen=True)
class Factors:
    """Vectors [items, D], biases [items]; rows of items without entries are 0."""

    vector: Floats
    bias: Floats


def factorise(
    entries: Entries, start: Factors, ridge: float, bias_ridge: float, passes: int, *, engagement: bool
) -> Factors:
    """Vectors and biases of the items.

    Args:
        entries: what users did.
        start: where to begin; items with entries and vectors of 0 are given small random ones.
        ridge: strength of the regularisation of vectors.
        bias_ridge: strength of that of biases.
        passes: how often users and items are solved in turn.
        engagement: whether what has no entry counts as a 0 of confidence 1; there are no biases then.
    """
    by_user, by_item = _Sides(entries.user, entries.users), _Sides(entries.item, entries.items)
    known = np.bincount(entries.item, minlength=entries.items) > 0
    item, bias = start.vector.copy(), np.zeros(entries.items)
    new = known & ~item.any(axis=1)
    item[new] = np.random.default_rng(0).normal(0.0, 0.1, item.shape)[new]
    item[~known] = 0.0
    left = entries.value
    if not engagement:
        bias, left = _fit_biases(entries, bias_ridge)
    for _ in range(passes):
        user = by_user.solve(item[entries.item], entries.weight, left, ridge, _everything(item, engagement))
        item = by_item.solve(user[entries.user], entries.weight, left, ridge, _everything(user, engagement))
        item[~known] = 0.0
    return Factors(item, bias)


def _everything(vector: Floats, engagement: bool) -> Floats | None:
    return vector.T @ vector if engagement else None


def _fit_biases(entries: Entries, ridge: float) -> tuple[Floats, Floats]:
    """Biases of the items, in turn with those of users, and what both leave of the values."""
    bias, own = np.zeros(entries.items), np.zeros(entries.users)
    weight_of_item = np.bincount(entries.item, entries.weight, entries.items) + ridge
    weight_of_user = np.bincount(entries.user, entries.weight, entries.users) + ridge
    for _ in range(6):
        rest = entries.weight * (entries.value - own[entries.user])
        bias = np.bincount(entries.item, rest, entries.items) / weight_of_item
        rest = entries.weight * (entries.value - bias[entries.item])
        own = np.bincount(entries.user, rest, entries.users) / weight_of_user
    return bias, entries.value - bias[entries.item] - own[entries.user]


class _Sides:
    """Entries in the order of the side, users or items, that is solved.

    Args:
        owner: [E] number of each entry's user, or item.
        count: number of users, or items.
    """

    def __init__(self, owner: Ints, count: int) -> None:
        self._order, self._count = np.argsort(owner, kind="stable"), count
        self._owner = owner[self._order]

    def solve(self, other: Floats, weight: Floats, value: Floats, ridge: float, everything: Floats | None) -> Floats:
        """The vectors [count, D] that fit the entries best, given the other side's of each entry [E, D]."""
        dims = other.shape[1]
        system = np.zeros((self._count, dims, dims))
        right = np.zeros((self._count, dims))
        for begin in range(0, len(self._order), BLOCK_ENTRIES):
            part = self._order[begin : begin + BLOCK_ENTRIES]
            owner, vector, own = self._owner[begin : begin + BLOCK_ENTRIES], other[part], weight[part, None]
            starts = np.flatnonzero(np.concatenate([[True], owner[1:] != owner[:-1]]))
            products = (vector * own)[:, :, None] * vector[:, None, :]
            system[owner[starts]] += np.add.reduceat(products, starts)
            confidence = own if everything is None else own + 1.0
            right[owner[starts]] += np.add.reduceat(vector * confidence * value[part, None], starts)
        system += np.eye(dims) * ridge + (0.0 if everything is None else everything)
        blocks = [slice(begin, begin + BLOCK_SYSTEMS) for begin in range(0, self._count, BLOCK_SYSTEMS)]
        solved = [np.linalg.solve(system[block], right[block][..., None])[..., 0] for block in blocks]
        return np.concatenate(solved) if solved else right
