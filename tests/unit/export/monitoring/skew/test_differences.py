"""Tensors compared column by column, with figures worked out by hand."""

import numpy as np
import pytest

from export.monitoring.skew.differences import (
    ColumnDifference,
    DifferenceStats,
    LargestDifference,
    ServedTensors,
    user_columns,
)
from services.features.config import FeatureConfig
from services.features.encode import tensor_names
from services.features.schema import build_schema

NAMES = {"item": ("price", "user_item_1s"), "cross": ("age",)}
WHERE = ServedTensors("a1", ("shelf", "tv"), ("milk", "tea"))
ALL = np.ones(2, bool)


def test_what_differs_is_counted_per_column() -> None:
    """Of three values of the second column one is off by 0.5 and one by 0.1; the first column agrees."""
    found = DifferenceStats(NAMES, 0.05)
    found.add("item", np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([[1.0, 2.0], [3.0, 4.5]]), ALL, WHERE)
    found.add("item", np.array([[1.0, 0.6]]), np.array([[1.0, 0.5]]), ALL, ServedTensors("a2", (), ("tea",)))
    (line,) = found.found()
    assert (6, "item", "user_item_1s", 3, 2) == (found.values, line.tensor, line.feature, line.values, line.differing)
    assert (0.5, pytest.approx(0.2)) == (line.largest, line.mean)
    assert LargestDifference("a1", "", "tea", 4.0, 4.5) == line.example


def test_an_example_names_scenario_and_item() -> None:
    """By the axes of the tensor."""
    found = DifferenceStats(NAMES, 0.05)
    served = np.zeros((2, 2, 1))
    replayed = served.copy()
    replayed[0, 1, 0] = 1
    found.add("cross", served, replayed, np.ones(1, bool), WHERE)
    assert [LargestDifference("a1", "tv", "milk", 0.0, 1.0)] == [line.example for line in found.found()]


@pytest.mark.parametrize(
    ("served", "replayed", "differs"),
    [
        (1e-6, 0.0, False),
        (1e-4, 0.0, True),
        (1000.001, 1000.0, False),
        (1000.1, 1000.0, True),
        (np.nan, np.nan, False),
        (np.nan, 1.0, True),
        (1.0, np.nan, True),
        (np.inf, 1.0, True),
    ],
)
def test_tolerance_is_absolute_and_relative_above_1(served: float, replayed: float, *, differs: bool) -> None:
    """What is not a number differs from every number."""
    found = DifferenceStats({"item": ("price",)}, 1e-5)
    found.add("item", np.array([[served]]), np.array([[replayed]]), np.ones(1, bool), WHERE)
    assert differs == bool(list(found.found()))


def test_columns_that_are_not_asked_for_are_not_compared() -> None:
    """Neither counted nor found."""
    found = DifferenceStats(NAMES, 0.0)
    found.add("item", np.zeros((2, 2)), np.ones((2, 2)), np.array([True, False]), WHERE)
    assert ["price"] == [line.feature for line in found.found()]
    assert 2 == found.values


def test_tensors_of_other_shapes_are_refused() -> None:
    """Naming the tensor and both shapes."""
    with pytest.raises(ValueError, match=r"item: served \(1, 2\), replayed \(2, 2\)"):
        DifferenceStats(NAMES, 0.0).add("item", np.zeros((1, 2)), np.zeros((2, 2)), ALL, WHERE)


def test_columns_are_the_user_s_alone_or_of_all_users() -> None:
    """What the user did with an item is the user's; what everybody did, and rhythms that rest on it, is not."""
    names = tensor_names(build_schema(FeatureConfig(text_dims=2)))
    mine = {tensor: dict(zip(columns, user_columns(tensor, columns), strict=True)) for tensor, columns in names.items()}
    assert all(mine["behavior"].values())
    assert all(mine["language"].values())
    assert not any(mine["scenario"].values())
    assert not any(mine["item_text"].values())
    assert mine["item"]["user_item_age_days"]
    assert mine["item"]["user_brand_impression"]
    assert not mine["item"]["user_item_returns_due"]
    assert not mine["item"]["user_brand_price_to_habit"]
    assert not mine["item"]["item_holders"]
    assert mine["cross"]["user_scenario_text_similarity"]
    assert not mine["cross"]["item_scenario_age_days"]


def test_differences_come_in_the_order_of_the_tensors() -> None:
    """As they are named."""
    found = DifferenceStats(NAMES, 0.0)
    found.add("cross", np.zeros((1, 2, 1)), np.ones((1, 2, 1)), np.ones(1, bool), WHERE)
    found.add("item", np.zeros((1, 2)), np.ones((1, 2)), ALL, WHERE)
    lines: list[ColumnDifference] = list(found.found())
    assert ["price", "user_item_1s", "age"] == [line.feature for line in lines]
