"""What was last read of users, with a clock that stands still."""

import numpy as np

from services.features.config import FeatureConfig
from services.features.rows import Ragged, pack_rows
from services.features.schema import build_schema
from services.ranking.cache.last_known import LastKnown, size_of
from tests.unit.ranking.recording_store import Clock

TV = ("tv",)


def test_rows_are_given_with_their_age_until_they_are_too_old() -> None:
    """The newest of a user."""
    clock = Clock()
    known: LastKnown[str] = LastKnown(10, 1000, clock)
    known.keep("ann", TV, "old", 1)
    clock.now_s += 3
    known.keep("ann", TV, "new", 1)
    clock.now_s += 10
    assert ("new", 10) == known.find("ann", TV)
    clock.now_s += 0.5
    assert known.find("ann", TV) is None


def test_rows_about_other_scenarios_are_not_given() -> None:
    """Their order is that of the scenarios."""
    known: LastKnown[str] = LastKnown(10, 1000)
    known.keep("ann", TV, "rows", 1)
    assert known.find("ann", ("shelf", "tv")) is None


def test_when_there_is_no_room_those_kept_longest_ago_leave() -> None:
    """Kept again counts; one that is too large for all of it is not kept."""
    known: LastKnown[str] = LastKnown(10, 10, Clock())
    for user in ("ann", "bob", "ann", "eve"):
        known.keep(user, TV, user, 4)
    assert [True, False, True] == [known.find(user, TV) is not None for user in ("ann", "bob", "eve")]
    known.keep("big", TV, "big", 11)
    assert known.find("big", TV) is None


def test_who_is_forgotten_takes_no_room() -> None:
    """And whom nobody knows may be forgotten."""
    known: LastKnown[str] = LastKnown(10, 10)
    for _ in range(3):
        known.keep("ann", TV, "rows", 9)
        known.forget("ann")
        known.forget("nobody")
    known.keep("bob", TV, "rows", 9)
    known.keep("eve", TV, "rows", 1)
    assert (2, None) == (len(known), known.find("ann", TV))


def test_without_an_age_nothing_is_kept() -> None:
    """The store alone serves."""
    known: LastKnown[str] = LastKnown(0, 10)
    known.keep("ann", TV, "rows", 1)
    assert 0 == len(known)


def test_a_blocks_size_is_that_of_its_values() -> None:
    """Both kinds of columns."""
    block = pack_rows(build_schema(FeatureConfig())["user"], [None, None])
    assert size_of(block) >= sum(column.nbytes for column in block.fixed.values()) > 0
    longer = {name: Ragged(np.zeros(100, part.values.dtype), np.array([50, 50])) for name, part in block.ragged.items()}
    assert size_of(block.with_columns({}, longer)) > size_of(block)
