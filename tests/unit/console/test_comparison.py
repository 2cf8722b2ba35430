"""Two orders side by side."""

import numpy as np
import pytest

from services.console.comparison import ComparedItem, compare, spearman
from tests.unit.console.answers import answer


def scores_of(*items: str) -> dict[str, float]:
    return {item: 1.0 - place / 100 for place, item in enumerate(items)}


def test_places_and_changes_of_both_sides() -> None:
    found = compare(answer(scores_of("a", "b", "c")), answer(scores_of("c", "a", "b")), {"c": "Cocoa"})
    a, b, c = ComparedItem("a", "a", -1), ComparedItem("b", "b", -1), ComparedItem("c", "Cocoa", 2)
    assert [(a, c), (b, a), (c, b)] == found.pairs
    assert ("Cocoa", 2) == found.largest_move
    assert 4 / 3 == found.mean_move


def test_the_same_order_correlates_fully_and_the_reverse_not_at_all() -> None:
    forward, backward = answer(scores_of(*"abcd")), answer(scores_of(*"dcba"))
    assert 1.0 == compare(forward, forward, {}).correlation
    assert compare(forward, forward, {}).largest_move is None
    assert -1.0 == compare(forward, backward, {}).correlation


def test_overlap_is_that_of_the_first_ten() -> None:
    names = [f"i{n}" for n in range(20)]
    found = compare(answer(scores_of(*names)), answer(scores_of(*names[5:15], *names[:5], *names[15:])), {})
    assert (10, 5) == (found.top, found.overlap)


def test_spearman_is_pearson_on_ranks() -> None:
    """As in the textbook definition, on a permutation."""
    permuted = np.random.default_rng(0).permutation(30)
    expected = np.corrcoef(np.arange(30), permuted)[0, 1]
    assert pytest.approx(expected) == spearman(np.arange(30.0) - permuted)
    assert spearman(np.zeros(1)) is None
