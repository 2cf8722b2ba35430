"""Comparison of stream positions: one by one, and as arrays."""

import numpy as np
import pytest

from services.features.positions import is_behind, is_fenced, is_folded
from tests.position_cases import POSITION_CASES, PositionCase


@pytest.mark.parametrize("case", POSITION_CASES, ids=lambda case: f"{case.position} {case.stored}")
def test_positions_are_compared_one_by_one(case: PositionCase) -> None:
    """As integers, and as arrays of three."""
    for position, stored in ((case.position, case.stored), (np.array(case.position), np.array(case.stored))):
        assert case.folded == is_folded(position, stored)
        assert case.behind == is_behind(position, stored)
        assert case.fenced == is_fenced(position, stored)


def test_positions_are_compared_as_arrays() -> None:
    """Element by element."""
    position, stored = (np.array([case[part] for case in POSITION_CASES]) for part in range(2))
    assert [case.folded for case in POSITION_CASES] == is_folded(position, stored).tolist()
    assert [case.behind for case in POSITION_CASES] == is_behind(position, stored).tolist()
    assert [case.fenced for case in POSITION_CASES] == is_fenced(position, stored).tolist()
