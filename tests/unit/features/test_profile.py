"""Profiles: the newest state of a user's attributes wins, however often and in which order updates arrive."""

import numpy as np
import pytest

from services.features.attributes import Attribute, category_keys
from services.features.config import FeatureConfig
from services.features.profile import ProfileUpdates, fold, has_features
from services.features.rows import Block, default_block
from services.features.schema import build_schema

AGE, JOB = Attribute("age", "user", default=-1.0), Attribute("job", "user", kind="category", values=("student", "cook"))
SCHEMA = build_schema(FeatureConfig(text_dims=4, attributes=(AGE, JOB)))
PLAIN = build_schema(FeatureConfig(text_dims=4))
T0 = 1_700_000_000.0


def updates(*given: tuple[float, float, str], first: int = 0) -> ProfileUpdates:
    """Time after T0, age and job of each update of one user, at rising offsets."""
    count = len(given)
    return ProfileUpdates(
        user=np.full(count, "u", object),
        time_s=np.array([T0 + time_s for time_s, _, _ in given]),
        attributes=np.array([[age] for _, age, _ in given]),
        category_keys=np.array([category_keys([JOB], {"job": [job]}) for _, _, job in given]),
        position=np.array([(1, 0, first + number) for number in range(count)]),
    )


def folded(block: Block, given: ProfileUpdates) -> Block:
    return fold(SCHEMA, block, block, np.zeros(len(given), np.int64), given)


def state(block: Block) -> tuple[float, bool, float]:
    """Age, whether a student, and when."""
    student = category_keys([JOB], {"job": ["student"]})
    found = np.array_equal(block.ints("category_keys")[0], student)
    return float(block.floats("attributes")[0, 0]), found, float(block.floats("profile_s")[0]) - T0


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ([(5, 30, "cook"), (9, 31, "student")], (31, True, 9)),
        ([(9, 31, "student"), (5, 30, "cook")], (31, True, 9)),
        ([(5, 30, "cook"), (5, 31, "student")], (31, True, 5)),
    ],
    ids=["in order", "late", "equal times: the later record"],
)
def test_the_newest_state_wins(given: list[tuple[float, float, str]], expected: tuple[float, bool, float]) -> None:
    """In one batch and in two."""
    empty = default_block(SCHEMA["user"], 1)
    assert expected == state(folded(empty, updates(*given)))
    assert expected == state(folded(folded(empty, updates(given[0])), updates(given[1], first=1)))


def test_a_repeated_record_changes_nothing() -> None:
    """A batch that is folded again after a crash, whatever its borders are now."""
    first = folded(default_block(SCHEMA["user"], 1), updates((5, 30, "cook"), (5, 31, "student")))
    again = folded(first, updates((5, 30, "cook")))
    assert state(first) == state(again)
    assert [1, 0, 1] == again.ints("position")[0].tolist()


def test_a_profile_says_something_of_a_user_without_events() -> None:
    """Unless it only has defaults; an event does as well."""
    empty = default_block(SCHEMA["user"], 1)
    known = folded(empty, updates((5, 30, "")))
    assert [False] == has_features(SCHEMA, empty).tolist()
    assert [True] == has_features(SCHEMA, known).tolist()
    nothing = folded(known, updates((9, -1.0, ""), first=1))
    nothing = nothing.with_columns({"category_keys": np.zeros_like(nothing.ints("category_keys"))})
    assert [False] == has_features(SCHEMA, nothing).tolist()
    assert [True] == has_features(SCHEMA, nothing.with_columns({"time_s": np.array([T0])})).tolist()


def test_rows_are_as_before_where_nothing_is_declared() -> None:
    """No feature is added, so that reads, rows and fingerprint stay."""
    names = [feature.name for feature in PLAIN["user"].features]
    assert {"attributes", "category_keys", "profile_s"}.isdisjoint(names)
    assert ["attributes", "category_keys", "profile_s"] == [f.name for f in SCHEMA["user"].features][len(names) :]
