"""How candidates are cut into pieces, and filled up."""

import pytest

from services.ranking.model.execution import bucket_for, split_evenly


@pytest.mark.parametrize(
    ("count", "most", "expected"),
    [
        (0, 4, [(0, 0)]),
        (4, 4, [(0, 4)]),
        (5, 4, [(0, 2), (2, 5)]),
        (9, 4, [(0, 3), (3, 6), (6, 9)]),
        (2, 1, [(0, 1), (1, 2)]),
    ],
)
def test_pieces_are_few_and_even(count: int, most: int, expected: list[tuple[int, int]]) -> None:
    """Together they are everything, in order; nothing is one empty piece."""
    assert expected == [(part.start, part.stop) for part in split_evenly(count, most)]


@pytest.mark.parametrize(("count", "expected"), [(1, 64), (64, 64), (65, 128), (128, 128)])
def test_the_smallest_bucket_that_holds_all_is_taken(count: int, expected: int) -> None:
    """A full one is not passed over."""
    assert expected == bucket_for(count, (64, 128))
