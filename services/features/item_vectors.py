"""Learned vectors of items, and what they say of a candidate: a factorisation of who engaged with what.

Every item has a vector and a bias. A user's vector is not stored: it is the solution of a small ridge regression of
the user's table onto the vectors of its items, the user's half of alternating least squares, so it follows every event
at once and no user is new to it. Of opinions (Koren, Bell and Volinsky, 2009) a score is the item's bias, plus the
user's, plus the product of the vectors; of engagement (Hu, Koren and Volinsky, 2008), where what was left alone says
something, too, it is the product alone. An item without a vector of its own has that of its text and facets.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from services.features.config import STATISTICS, FeatureConfig, TableName
from services.features.decay import decay_factors
from services.features.feature_rows import FeatureRows
from services.features.item_columns import Singles
from services.features.rows import Floats, Ints
from services.features.tables import read_table

ROWS_OF_PRODUCT = 32
"""Rows of each product of matrices; those that are missing are zeros."""

NAMES = ("score", "item_bias", "user_bias", "similarity", "learned", "users")
"""Columns of a candidate: the score; the biases; the cosine of item and user; whether the item has a vector of its own;
the log of 1 + the number of users that it was learned from."""


@dataclass(frozen=True)
class ItemVectors:
    """Vectors of D dimensions of V items, learned from the history up to one time.

    Args:
        key: [V] keys of the items, rising.
        vector: [V, D + 1] vectors; the last column is the bias.
        users: [V] users that each was learned from.
        facet_key: [G] keys of facets, rising.
        facet_vector: [G, D + 1] what an item gets for having the facet.
        text_vector: [T + 1, D + 1] what it gets for its text vector, and (last row) always.
        everything: [D, D] sum of the products of all items' vectors, for engagement; zeros for opinions.
        ridge: strength of the regularisation of users' vectors, and of their biases: [2].
        gain: confidence that a unit of log(1 + engagement) adds to 1.
        value: [types, 2] mean and deviation of values of opinions, by type; no rows: vectors of engagement.
    """

    key: Ints
    vector: Singles
    users: Singles
    facet_key: Ints
    facet_vector: Singles
    text_vector: Singles
    everything: Floats
    ridge: Floats
    gain: Floats
    value: Floats

    @property
    def dims(self) -> int:
        """Length of a vector, without the bias."""
        return int(self.vector.shape[1]) - 1

    def arrays(self) -> dict[str, NDArray[np.generic]]:
        """All fields, for a file."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def find(self, key: Ints) -> tuple[Ints, NDArray[np.bool_]]:
        """Index of each key [...], and whether it is there."""
        return _find(self.key, key)

    def _of_facets(self, facet_key: Ints) -> Singles:
        """What facets [G] say of the items that have them, zeros where nothing was learned: [G, D + 1]."""
        place, found = _find(self.facet_key, facet_key)
        result = np.zeros((len(facet_key), self.dims + 1), np.float32)
        result[found] = self.facet_vector[place[found]]
        return result

    def of_content(self, text: NDArray[np.floating], facet_key: Ints, facet: NDArray[np.integer]) -> Singles:
        """What text vectors [N, T] and facets, whose keys are facet_key[facet [N, F]], say of items: [N, D + 1]."""
        result = _multiply_rows(text, self.text_vector[:-1])
        result += self.text_vector[-1]
        if facet.shape[1]:
            of_facets = self._of_facets(facet_key)
            of_all = of_facets.take(facet[:, 0], axis=0)
            for level in range(1, facet.shape[1]):
                of_all += of_facets.take(facet[:, level], axis=0)
            result += of_all
        return result


def _multiply_rows(rows: NDArray[np.floating], matrix: Singles) -> Singles:
    """Rows [N, T] times a matrix [T, D]: [N, D]; a row gives the same, to the bit, whichever others are beside it.

    One product of all rows would round a row's sums by how many there are; products of one shape do not.
    """
    products = -(-len(rows) // ROWS_OF_PRODUCT)
    padded = np.zeros((products, ROWS_OF_PRODUCT, rows.shape[1]), np.float32)
    padded.reshape(-1, rows.shape[1])[: len(rows)] = rows
    result: Singles = (padded @ matrix).reshape(-1, matrix.shape[1])[: len(rows)]
    return result


def _find(known: Ints, wanted: Ints) -> tuple[Ints, NDArray[np.bool_]]:
    if not len(known):
        return np.zeros(wanted.shape, np.int64), np.zeros(wanted.shape, bool)
    place = np.minimum(np.searchsorted(known, wanted), len(known) - 1)
    return place, known.take(place) == wanted


def no_vectors(config: FeatureConfig) -> ItemVectors:
    """Vectors of no item: all columns are 0."""
    dims, nothing = config.item_vectors, np.zeros(0, np.int64)
    return ItemVectors(
        key=nothing,
        vector=np.zeros((0, dims + 1), np.float32),
        users=np.zeros(0, np.float32),
        facet_key=nothing,
        facet_vector=np.zeros((0, dims + 1), np.float32),
        text_vector=np.zeros((config.text_dims + 1, dims + 1), np.float32),
        everything=np.zeros((dims, dims)),
        ridge=np.ones(2),
        gain=np.ones(1),
        value=np.tile([0.0, 1.0], (len(config.opinion_types), 1)),
    )


def vector_names(config: FeatureConfig) -> tuple[str, ...]:
    """Names of the columns that `fill_vectors` fills."""
    return tuple(f"vector_{name}" for name in NAMES) if config.item_vectors else ()


def vector_width(config: FeatureConfig) -> int:
    """How many columns `vector_names` names."""
    return len(NAMES) if config.item_vectors else 0


def fill_vectors(config: FeatureConfig, rows: FeatureRows, vectors: Sequence[ItemVectors], out: Singles) -> None:
    """Write what the vectors say of each candidate to out.

    Args:
        config: feature settings.
        rows: the requests' rows.
        vectors: [R] of each request; or one, for all of them; empty: none are known, all columns are 0.
        out: [N, columns] named by `vector_names`.
    """
    if not config.item_vectors:
        return
    if not vectors:
        out[:] = 0.0
        return
    of_users = _read_users(config, rows)
    if len(vectors) == 1:
        items, users = _of_items(vectors[0], rows, None), _of_users(vectors[0], of_users, range(rows.user.size))
        _describe(items, users, rows.pair_item, rows.pair_request, out)
        return
    number = {id(each): place for place, each in enumerate(vectors)}
    group = np.array([number[id(each)] for each in vectors])[rows.pair_request]
    for place in np.unique(group).tolist():
        pairs, own = np.flatnonzero(group == place), vectors[place]
        item, of_item = np.unique(rows.pair_item[pairs], return_inverse=True)
        request, of_request = np.unique(rows.pair_request[pairs], return_inverse=True)
        described = np.empty((len(pairs), out.shape[1]), np.float32)
        users = _of_users(own, of_users, request.tolist())
        _describe(_of_items(own, rows, item), users, of_item, of_request, described)
        out[pairs] = described


@dataclass(frozen=True)
class _Entries:
    """Entries of users' tables by request: key [E], weight [E], and each type's sum of values and number [E, types].

    The entries of request r are begin[r] to begin[r + 1].
    """

    key: Ints
    weight: Floats
    total: Floats
    number: Floats
    begin: Ints


def _read_users(config: FeatureConfig, rows: FeatureRows) -> _Entries:
    name: TableName = "opinion_item" if config.opinion_types else "item"
    table = read_table(config, rows.user, name)
    begin = np.searchsorted(table.row, np.arange(rows.user.size + 1))
    if not config.opinion_types:
        count = table.value[:, -1] * decay_factors(rows.time_s - table.time_s, config.half_lives_s[-1:])[:, 0]
        nothing = np.zeros((len(table), 0))
        return _Entries(table.key, count, nothing, nothing, begin)
    shape = (len(table), len(config.opinion_types), STATISTICS, len(config.table_horizons_s))
    ever = table.value.reshape(shape)[..., -1]
    return _Entries(table.key, ever[:, :, 0].sum(axis=1), ever[:, :, 2], ever[:, :, 0], begin)


def _of_items(vectors: ItemVectors, rows: FeatureRows, items: Ints | None) -> tuple[Floats, Singles]:
    """Vectors [I, D + 1] of items (None: of all), and the last two columns of what is said of them, [I, 2]."""
    key = rows.items.key if items is None else rows.items.key[items]
    place, learned = vectors.find(key)
    vector, said = np.zeros((len(key), vectors.dims + 1)), np.zeros((len(key), 2), np.float32)
    if learned.all():
        vector[:], said[:, 1] = vectors.vector.take(place, axis=0), vectors.users.take(place)
    else:
        own, other = np.flatnonzero(learned), np.flatnonzero(~learned)
        vector[own], said[own, 1] = vectors.vector.take(place[own], axis=0), vectors.users.take(place[own])
        named = other if items is None else items[other]
        vector[other] = vectors.of_content(rows.items.text[named], rows.facet_key, rows.items.facet[named])
    said[:, 0] = learned
    np.log1p(said[:, 1], out=said[:, 1])
    return vector, said


def _of_users(vectors: ItemVectors, users: _Entries, requests: Iterable[int]) -> Floats:
    """Vectors of the requests' users, [R, D + 1]."""
    return np.stack([solve_user(vectors, users, request) for request in requests])


def _describe(items: tuple[Floats, Singles], user: Floats, item: Ints, request: Ints, out: Singles) -> None:
    """Write the columns of the candidates, given the item and the request of each."""
    (vector, said), dims = items, user.shape[1] - 1
    norms = np.sqrt(np.einsum("id,id->i", vector[:, :dims], vector[:, :dims])).take(item)
    norms *= np.sqrt(np.einsum("rd,rd->r", user[:, :dims], user[:, :dims])).take(request)
    of_item, of_user = vector.take(item, axis=0), user.take(request, axis=0)
    product = np.einsum("nd,nd->n", of_item[:, :dims], of_user[:, :dims])
    out[:, 1], out[:, 2] = of_item[:, dims], of_user[:, dims]
    out[:, 0] = of_item[:, dims] + of_user[:, dims] + product
    norms[norms == 0] = 1.0
    out[:, 3] = product / norms
    out[:, 4:] = said.take(item, axis=0)


def solve_user(vectors: ItemVectors, users: _Entries, request: int) -> Floats:
    """The vector of a request's user, and (last) the bias; zeros where nothing is known of the user: [D + 1]."""
    first = int(users.begin[request])
    result = np.zeros(vectors.dims + 1)
    place, found = vectors.find(users.key[first : int(users.begin[request + 1])])
    known = found.nonzero()[0]
    if not len(known):
        return result
    items = vectors.vector.take(place.take(known), axis=0).astype(np.float64)
    known += first
    weight = users.weight.take(known)
    vector, bias = items[:, :-1], items[:, -1]
    system = np.diag(np.full(vectors.dims, vectors.ridge[0]))
    if not len(vectors.value):
        gained = vectors.gain[0] * np.log1p(weight)
        system += vectors.everything + (vector * gained[:, None]).T @ vector
        result[:-1] = np.linalg.solve(system, (1.0 + gained) @ vector)
        return result
    mean, deviation = vectors.value.T
    total, number = users.total.take(known, axis=0), users.number.take(known, axis=0)
    left = ((total - number * mean) / deviation).sum(axis=1) - weight * bias
    result[-1] = left.sum() / (weight.sum() + vectors.ridge[1])
    left -= weight * result[-1]
    result[:-1] = np.linalg.solve(system + (vector * weight[:, None]).T @ vector, left @ vector)
    return result
