"""Users' last known rows, with a manual clock."""

from services.ranking.cache.last_known import LastKnownRows
from tests.unit.ranking.recording_store import Clock

TV = ("tv",)


def test_rows_are_returned_with_their_age_until_they_are_too_old() -> None:
    """The newest rows of a user are returned."""
    clock = Clock()
    known: LastKnownRows[str] = LastKnownRows(10, 1000, clock)
    known.put("ann", TV, "old", 1)
    clock.now_s += 3
    known.put("ann", TV, "new", 1)
    clock.now_s += 10
    assert ("new", 10) == known.get("ann", TV)
    clock.now_s += 0.5
    assert known.get("ann", TV) is None


def test_rows_for_other_scenarios_are_not_returned() -> None:
    """Rows are in the order of the scenarios they were put for."""
    known: LastKnownRows[str] = LastKnownRows(10, 1000)
    known.put("ann", TV, "rows", 1)
    assert known.get("ann", ("shelf", "tv")) is None


def test_when_full_the_rows_put_first_are_evicted() -> None:
    """Rows that are put again count as new; rows larger than the bound are not stored."""
    known: LastKnownRows[str] = LastKnownRows(10, 10, Clock())
    for user in ("ann", "bob", "ann", "eve"):
        known.put(user, TV, user, 4)
    assert [True, False, True] == [known.get(user, TV) is not None for user in ("ann", "bob", "eve")]
    known.put("big", TV, "big", 11)
    assert known.get("big", TV) is None


def test_removed_users_use_no_memory() -> None:
    """Removing an unknown user is not an error."""
    known: LastKnownRows[str] = LastKnownRows(10, 10)
    for _ in range(3):
        known.put("ann", TV, "rows", 9)
        known.remove("ann")
        known.remove("nobody")
    known.put("bob", TV, "rows", 9)
    known.put("eve", TV, "rows", 1)
    assert (2, None) == (len(known), known.get("ann", TV))


def test_with_a_maximum_age_of_zero_no_rows_are_kept() -> None:
    """Rows come from the store only."""
    known: LastKnownRows[str] = LastKnownRows(0, 10)
    known.put("ann", TV, "rows", 1)
    assert 0 == len(known)
