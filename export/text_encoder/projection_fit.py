"""Fits the projection of sentence embeddings to the short vectors that rows keep, on the texts of a catalogue.

Knows embeddings and the scripts of their texts; nothing of models and files.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from services.text.projection import Projection

SCRIPT_TEXTS = 10
"""Texts that a script needs for its mean to say something of the script, not of what few texts are about."""


def fit_projection(
    embeddings: NDArray[np.float64], dims: int, seed: int = 0, scripts: Sequence[str] = ()
) -> Projection:
    """Fit a principal component projection on embeddings [n, base_dims]; n may be zero.

    The centre is the mean shrunk towards the origin, as if one further embedding lay there: about the mean of a
    catalogue, since encoders may put all texts into one corner (any two texts of multilingual-e5-small have a cosine of
    about .8), but never the embedding of a single text, which would leave that text no direction. Directions that the
    embeddings do not span are filled with random orthogonal ones.

    Args:
        embeddings: of the texts.
        dims: length of the projected vectors.
        seed: of the filled directions.
        scripts: the script of each text; empty: not known. Directions between the mean embeddings of scripts are left
            out: multilingual encoders put each language into a region of its own, so the first principal component of
            a catalogue in two languages would be the language, and neighbours would share it rather than their kind.
    """
    count, base_dims = embeddings.shape
    if not 0 < dims <= base_dims:
        raise ValueError(f"dims must be between 1 and {base_dims}, not {dims}")
    centre = embeddings.sum(axis=0) / (count + 1)
    left_out = _script_directions(embeddings, np.array(scripts))[: base_dims - dims]
    centred = embeddings - centre
    centred -= centred @ left_out.T @ left_out
    # The right singular vectors of the data, from a matrix whose size does not grow with the catalogue.
    _, variances, directions = np.linalg.svd(centred.T @ centred)
    rank = int(np.count_nonzero(variances > variances[0] * 1e-10))
    spanned = directions[: min(rank, dims)]
    return Projection(centre, _fill_directions(_fix_signs(spanned), left_out, dims, seed))


def _script_directions(embeddings: NDArray[np.float64], scripts: NDArray[np.str_]) -> NDArray[np.float64]:
    """Orthonormal directions [scripts - 1, base_dims] that hold the differences between scripts of enough texts."""
    names, counts = np.unique(scripts[scripts != ""], return_counts=True)
    names = names[counts >= SCRIPT_TEXTS]
    means = np.array([embeddings[scripts == name].mean(axis=0) for name in names]).reshape(-1, embeddings.shape[1])
    if len(names) < 2:
        return means[:0]
    directions: NDArray[np.float64] = np.linalg.svd(means[1:] - means[:1], full_matrices=False)[2]
    return directions


def _fix_signs(directions: NDArray[np.float64]) -> NDArray[np.float64]:
    # A singular vector is defined up to its sign: choose the one whose largest entry is positive.
    largest = np.abs(directions).argmax(axis=1)
    signs: NDArray[np.float64] = np.sign(directions[np.arange(len(directions)), largest])
    return directions * signs[:, None]


def _fill_directions(
    directions: NDArray[np.float64], left_out: NDArray[np.float64], dims: int, seed: int
) -> NDArray[np.float64]:
    missing = dims - len(directions)
    if not missing:
        return directions
    filler = np.random.default_rng(seed).standard_normal((directions.shape[1], missing))
    taken = np.vstack([left_out, directions])
    orthogonal, _ = np.linalg.qr(np.hstack([taken.T, filler]))
    return np.vstack([directions, orthogonal[:, len(taken) :].T])
