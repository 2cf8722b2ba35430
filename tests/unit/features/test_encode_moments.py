"""Rows moved in time keep what they say relative to their moment."""

import numpy as np
import pytest

from services.features.config import FeatureConfig
from services.features.encode_moments import InexactShift, shift_times
from services.features.rows import Ragged, default_block
from services.features.schema import build_schema

SCHEMA = build_schema(FeatureConfig())
NOW_S = 1_700_000_000.125


def test_all_times_of_a_row_move_with_its_moment() -> None:
    """Scalars and tables; a time of 0 is never, and stays."""
    block = default_block(SCHEMA["user"], 2)
    times = np.array([NOW_S - 10, NOW_S - 20, NOW_S - 30])
    block = block.with_columns(
        {"time_s": np.array([NOW_S - 5, 0.0])}, {"item_s": Ragged(times, np.array([1, 2], np.int64))}
    )
    moved = shift_times(block, np.array([NOW_S - 3, NOW_S - 4]), NOW_S)
    assert [NOW_S - 2, 0.0] == moved.floats("time_s").tolist()
    assert [NOW_S - 7, NOW_S - 16, NOW_S - 26] == moved.ragged["item_s"].values.tolist()


def test_times_that_would_be_rounded_are_refused() -> None:
    """From 2^30 seconds on, numbers are half as fine as before."""
    fine_s = 2.0**30 - 1 - 2.0**-23
    block = default_block(SCHEMA["scenario_activity"], 1).with_columns({"time_s": np.array([fine_s])})
    with pytest.raises(InexactShift):
        shift_times(block, np.array([2.0**30]), 2.0**30 + 5)
