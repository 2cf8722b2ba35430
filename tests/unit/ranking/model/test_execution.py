"""Splitting candidates into pieces, and padding."""

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
    """The pieces cover all candidates in order; no candidates are one empty piece."""
    assert expected == [(part.start, part.stop) for part in split_evenly(count, most)]


@pytest.mark.parametrize(("count", "expected"), [(1, 64), (64, 64), (65, 128), (128, 128)])
def test_the_smallest_sufficient_bucket_is_chosen(count: int, expected: int) -> None:
    """A bucket of exactly the needed size is chosen."""
    assert expected == bucket_for(count, (64, 128))
