"""Tensors compared per column, with results calculated by hand."""

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


def test_differing_values_are_counted_per_column() -> None:
    """Of three values of the second column one differs by 0.5 and one by 0.1; the first column is equal."""
    stats = DifferenceStats(NAMES, 0.05)
    stats.add("item", np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([[1.0, 2.0], [3.0, 4.5]]), ALL, WHERE)
    stats.add("item", np.array([[1.0, 0.6]]), np.array([[1.0, 0.5]]), ALL, ServedTensors("a2", (), ("tea",)))
    (line,) = stats.differing_columns()
    assert (6, "item", "user_item_1s", 3, 2) == (stats.values, line.tensor, line.feature, line.values, line.differing)
    assert (0.5, pytest.approx(0.2)) == (line.largest, line.mean)
    assert LargestDifference("a1", "", "tea", 4.0, 4.5) == line.example


def test_an_example_names_scenario_and_item() -> None:
    """From the axes of the tensor."""
    stats = DifferenceStats(NAMES, 0.05)
    served = np.zeros((2, 2, 1))
    replayed = served.copy()
    replayed[0, 1, 0] = 1
    stats.add("cross", served, replayed, np.ones(1, bool), WHERE)
    assert [LargestDifference("a1", "tv", "milk", 0.0, 1.0)] == [line.example for line in stats.differing_columns()]


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
    """NaN differs from every number and equals NaN."""
    stats = DifferenceStats({"item": ("price",)}, 1e-5)
    stats.add("item", np.array([[served]]), np.array([[replayed]]), np.ones(1, bool), WHERE)
    assert differs == bool(list(stats.differing_columns()))


def test_masked_columns_are_not_compared() -> None:
    """Neither counted nor in the statistics."""
    stats = DifferenceStats(NAMES, 0.0)
    stats.add("item", np.zeros((2, 2)), np.ones((2, 2)), np.array([True, False]), WHERE)
    assert ["price"] == [line.feature for line in stats.differing_columns()]
    assert 2 == stats.values


def test_tensors_of_other_shapes_are_rejected() -> None:
    """The error names the tensor and both shapes."""
    with pytest.raises(ValueError, match=r"item: served \(1, 2\), replayed \(2, 2\)"):
        DifferenceStats(NAMES, 0.0).add("item", np.zeros((1, 2)), np.zeros((2, 2)), ALL, WHERE)


def test_columns_depend_on_the_user_alone_or_on_all_users() -> None:
    """A user's own counts depend on the user alone; popularity, and `returns_due` computed from it, do not."""
    names = tensor_names(build_schema(FeatureConfig(text_dims=2)))
    own = {tensor: dict(zip(columns, user_columns(tensor, columns), strict=True)) for tensor, columns in names.items()}
    assert all(own["behavior"].values())
    assert all(own["language"].values())
    assert not any(own["scenario"].values())
    assert not any(own["item_text"].values())
    assert own["item"]["user_item_age_days"]
    assert own["item"]["user_brand_impression"]
    assert not own["item"]["user_item_returns_due"]
    assert not own["item"]["user_brand_price_to_habit"]
    assert not own["item"]["item_unique_users"]
    assert own["cross"]["user_scenario_text_similarity"]
    assert not own["cross"]["item_scenario_age_days"]


def test_differences_come_in_the_order_of_the_tensors() -> None:
    """The order of the names passed in."""
    stats = DifferenceStats(NAMES, 0.0)
    stats.add("cross", np.zeros((1, 2, 1)), np.ones((1, 2, 1)), np.ones(1, bool), WHERE)
    stats.add("item", np.zeros((1, 2)), np.ones((1, 2)), ALL, WHERE)
    lines: list[ColumnDifference] = list(stats.differing_columns())
    assert ["price", "user_item_1s", "age"] == [line.feature for line in lines]
