"""Rows after each of many deltas are those of folding the deltas one by one, to the bit."""

import numpy as np
import pytest

from services.features import activity
from services.features.activity import DeltaColumns
from services.features.activity_steps import fold_steps, rounds
from services.features.config import FeatureConfig
from services.features.rows import Ints, default_block
from services.features.schema import build_schema

SCHEMA = build_schema(FeatureConfig(liked_from={"rating": 4.0}))
ROWS, DELTAS = 4, 30
T0 = 1_600_000_000.0


def made_deltas(random: np.random.Generator) -> DeltaColumns:
    half_lives = len(SCHEMA.config.half_lives_s)
    paid = random.random(DELTAS) < 0.4
    time_s = T0 + np.sort(random.uniform(0, 1e6, DELTAS))
    return DeltaColumns(
        group=np.full((DELTAS, 1), "", object),
        time_s=time_s,
        counts=random.random((DELTAS, SCHEMA.count_length)),
        hours=random.random((DELTAS, 24)),
        last_value=np.where(paid, random.uniform(0, 9, DELTAS), -1.0),
        last_value_s=np.where(paid, time_s - 1e-3, 0.0),
        repeat_engagement=random.random((DELTAS, half_lives)),
        unique_users=random.integers(0, 2, DELTAS).astype(np.float64),
        paid=random.random((DELTAS, 2)),
        opinions=random.random((DELTAS, SCHEMA.config.opinion_width)),
    )


def part(deltas: DeltaColumns, begin: int, end: int) -> DeltaColumns:
    return DeltaColumns(*(getattr(deltas, name)[begin:end] for name in deltas.__dataclass_fields__))


@pytest.mark.parametrize("view", ["item_activity", "facet_activity", "scenario_activity", "item_scenario_activity"])
def test_versions_are_those_of_folding_one_by_one(view: str) -> None:
    """Sums, times and last prices, over rows that have some history."""
    random = np.random.default_rng(0)
    deltas, row = made_deltas(random), random.integers(0, ROWS, DELTAS)
    position = np.column_stack([np.zeros((DELTAS, 2), np.int64), np.arange(DELTAS)])
    block, first = default_block(SCHEMA[view], ROWS), 5
    block = activity.fold(SCHEMA, block, row[:first], part(deltas, 0, first), position[:first])
    versions = fold_steps(SCHEMA, block, row[first:], part(deltas, first, DELTAS), position[first:])
    for number in range(first, DELTAS):
        one = np.array([number])
        block = activity.fold(SCHEMA, block, row[one], part(deltas, number, number + 1), position[one])
        for name, column in block.fixed.items():
            np.testing.assert_array_equal(column[row[number]], versions.fixed[name][number - first], err_msg=name)


def test_each_row_has_one_entry_in_a_round() -> None:
    """Rows with most entries come first, so that the rows of a round begin those of the round before."""
    row: Ints = np.array([2, 0, 2, 1, 2, 0])
    order, sizes = rounds(row, 3)
    assert [3, 2, 1] == sizes
    assert [[2, 0, 1], [2, 0], [2]] == [part.tolist() for part in np.split(row[order], np.cumsum(sizes)[:-1])]
