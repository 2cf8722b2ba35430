"""Two orders of the same items side by side: places, differences, rank correlation, overlap."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from crossrec.ranking.v1 import ranking_pb2 as pb

TOP = 10


@dataclass(frozen=True)
class Placed:
    """An item in one of the orders.

    Args:
        item_id: its id.
        title: its name, or the id.
        change: places that the second model puts it higher than the first does (lower: negative).
    """

    item_id: str
    title: str
    change: int


@dataclass(frozen=True)
class Comparison:
    """Two answers to one request.

    Args:
        pairs: by place, what the first and the second model put there.
        correlation: Spearman's rank correlation, -1 to 1; None for a single item.
        top: how many of the first items are looked at for `overlap`.
        overlap: items that are among the first `top` of both.
        mean_move: mean difference of an item's places.
        largest_move: title of the item whose places differ most, and by how much; None if none does.
    """

    pairs: Sequence[tuple[Placed, Placed]]
    correlation: float | None
    top: int
    overlap: int
    mean_move: float
    largest_move: tuple[str, int] | None


def compare(first: pb.RankResponse, second: pb.RankResponse, titles: Mapping[str, str]) -> Comparison:
    """Compare answers that hold the same items."""
    orders = [[item.item_id for item in answer.items] for answer in (first, second)]
    places = [{item: place for place, item in enumerate(order, start=1)} for order in orders]
    change = {item: places[0][item] - places[1][item] for item in orders[0]}
    placed = {item: Placed(item, titles.get(item) or item, change[item]) for item in orders[0]}
    pairs = [(placed[ours], placed[theirs]) for ours, theirs in zip(*orders, strict=True)]
    differences = np.array([change[item] for item in orders[0]], np.float64)
    top = min(TOP, len(pairs))
    furthest = max(orders[0], key=lambda item: abs(change[item]))
    return Comparison(
        pairs,
        spearman(differences),
        top,
        len(set(orders[0][:top]) & set(orders[1][:top])),
        float(np.abs(differences).mean()),
        (placed[furthest].title, abs(change[furthest])) if change[furthest] else None,
    )


def spearman(differences: np.ndarray) -> float | None:
    """Rank correlation of two orders without ties from the differences d of places [N].

    1 - 6 sum d^2 / (N (N^2 - 1)); None for fewer than two items.
    """
    count = len(differences)
    return None if count < 2 else 1 - 6 * float(differences @ differences) / (count * (count * count - 1))
