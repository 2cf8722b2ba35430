"""The stages that order the candidates by score and variety, and cut the order off at top_k. Pure numpy."""

import numpy as np

from services.features.encode import Tensors
from services.registry.model import Scores


def diversify(scores: Scores, tensors: Tensors, diversity: float, places: int = 0) -> np.ndarray:
    """Order of the candidates, best first, at least `places` of them (0: all); ties keep the order of the request.

    Maximal marginal relevance (Carbonell and Goldstein, 1998): each place goes to the candidate with the best
    (1 - diversity) * probability - diversity * similarity to the most similar candidate that is placed already.
    """
    if diversity == 0:
        return np.argsort(-scores.score, kind="stable")
    text, count = tensors.item_text, len(scores.score)
    closest, left, order = np.full(count, -1.0), np.ones(count, bool), list[int]()
    for _ in range(min(places or count, count)):
        value = np.where(left, (1 - diversity) * scores.probability - diversity * closest, -np.inf)
        best = int(np.argmax(value))
        order.append(best)
        left[best] = False
        closest = np.maximum(closest, text @ text[best])
    return np.array(order)


def select(order: np.ndarray, top_k: int) -> np.ndarray:
    """The first top_k of the order; all of it for 0."""
    return order[:top_k] if top_k else order
