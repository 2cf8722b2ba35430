"""Compares two rankings of the same items: positions, differences, rank correlation, overlap."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from crossrec.ranking.v1 import ranking_pb2 as pb

TOP = 10


@dataclass(frozen=True)
class ComparedItem:
    """An item of one of the rankings.

    Args:
        item_id: its id.
        title: its name, or the id.
        change: positions by which the second model ranks it higher than the first (lower: negative).
    """

    item_id: str
    title: str
    change: int


@dataclass(frozen=True)
class RankingComparison:
    """Two answers to one request, compared.

    Args:
        pairs: per position, the items of the first and of the second model.
        correlation: Spearman's rank correlation, -1 to 1; None for a single item.
        top: how many of the first items `overlap` considers.
        overlap: number of items among the first `top` of both.
        mean_move: mean difference of an item's positions.
        largest_move: title of the item whose positions differ most, and the difference; None: no item moves.
    """

    pairs: Sequence[tuple[ComparedItem, ComparedItem]]
    correlation: float | None
    top: int
    overlap: int
    mean_move: float
    largest_move: tuple[str, int] | None


def compare(first: pb.RankResponse, second: pb.RankResponse, titles: Mapping[str, str]) -> RankingComparison:
    """Compare answers that hold the same items."""
    orders = [[item.item_id for item in answer.items] for answer in (first, second)]
    places = [{item: place for place, item in enumerate(order, start=1)} for order in orders]
    change = {item: places[0][item] - places[1][item] for item in orders[0]}
    placed = {item: ComparedItem(item, titles.get(item) or item, change[item]) for item in orders[0]}
    pairs = [(placed[ours], placed[theirs]) for ours, theirs in zip(*orders, strict=True)]
    differences = np.array([change[item] for item in orders[0]], np.float64)
    top = min(TOP, len(pairs))
    furthest = max(orders[0], key=lambda item: abs(change[item]))
    return RankingComparison(
        pairs,
        spearman(differences),
        top,
        len(set(orders[0][:top]) & set(orders[1][:top])),
        float(np.abs(differences).mean()),
        (placed[furthest].title, abs(change[furthest])) if change[furthest] else None,
    )


def spearman(differences: np.ndarray) -> float | None:
    """Rank correlation of two orders without ties from the differences d of positions [N].

    1 - 6 sum d^2 / (N (N^2 - 1)); None for fewer than two items.
    """
    count = len(differences)
    return None if count < 2 else 1 - 6 * float(differences @ differences) / (count * (count * count - 1))
