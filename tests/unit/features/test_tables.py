"""Tables of engaged keys: merging, eviction, look-up."""

import numpy as np
import pytest

from services.features import tables
from services.features.tables import Table, evict, merge, rank_in_group

HALF_LIVES = (10.0, 100.0)


def table(*entries: tuple[int, int, float, float]) -> Table:
    """Entries of (row, key, time, value at every half-life)."""
    row, key, time_s, value = (np.array(column) for column in zip(*entries, strict=True))
    return Table(
        row.astype(np.int64),
        key.astype(np.int64),
        time_s.astype(float),
        time_s.astype(float),
        np.repeat(value[:, None], 2, 1).astype(float),
    )


NOTHING = Table(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0), np.zeros(0), np.zeros((0, 2)))


def test_merge_decays_to_the_newest_time() -> None:
    """Equal keys add up at the later time and keep the first; others stay apart, sorted by row and key."""
    merged = merge(table((0, 5, 0.0, 1.0)), table((0, 5, 10.0, 1.0), (1, 5, 3.0, 2.0), (0, 4, 1.0, 1.0)), HALF_LIVES)
    assert [(0, 4), (0, 5), (1, 5)] == list(zip(merged.row.tolist(), merged.key.tolist(), strict=True))
    assert (0.0, 10.0) == (merged.first_s[1], merged.time_s[1])
    np.testing.assert_allclose(merged.value[1], [1.5, 1 + 2**-0.1])


def test_merge_with_an_empty_table_changes_nothing() -> None:
    """An empty table is the neutral element."""
    some = table((0, 1, 1.0, 1.0))
    assert [1] == merge(NOTHING, some, HALF_LIVES).key.tolist() == merge(some, NOTHING, HALF_LIVES).key.tolist()
    assert 0 == len(merge(NOTHING, NOTHING, HALF_LIVES).row)


def random_table(random: np.random.Generator, rows: int, count: int, keys: int) -> Table:
    """Entries of any order and times, some of which repeat a row and key."""
    time_s = random.uniform(0, 1000, count)
    row, key = random.integers(0, rows, count), random.integers(-keys, keys, count)
    return Table(row, key, time_s - random.uniform(0, 9, count), time_s, random.random((count, 2)))


@pytest.mark.parametrize("repeats", [False, True])
def test_few_entries_are_added_as_by_sorting(repeats: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Known and new keys, before the first and after the last one, to the bit."""
    random = np.random.default_rng(int(repeats))
    for rows in (1, 7, 40):
        old = merge(NOTHING, random_table(random, rows, 600, 30), HALF_LIVES)
        new = random_table(random, rows + 1, 25, 40)
        if not repeats:
            new = new.take(np.unique(np.column_stack([new.row, new.key]), axis=0, return_index=True)[1][::-1])
        found = {}
        for large in (0, 10**9):
            monkeypatch.setattr(tables, "LARGE", large)
            found[large] = merge(old, new, HALF_LIVES)
        for name in Table.__dataclass_fields__:
            np.testing.assert_array_equal(getattr(found[0], name), getattr(found[10**9], name), err_msg=name)


def test_lookup_finds_all_entries_and_no_others() -> None:
    """Of rows with one entry and with many."""
    random = np.random.default_rng(0)
    some = merge(NOTHING, random_table(random, 9, 300, 20), HALF_LIVES)
    np.testing.assert_array_equal(np.arange(len(some)), some.lookup(some.row, some.key))
    known = set(zip(some.row.tolist(), some.key.tolist(), strict=True))
    row, key = np.meshgrid(np.arange(11), np.arange(-25, 25), indexing="ij")
    entry = some.lookup(row, key)
    for place, pair in zip(
        entry.ravel().tolist(), zip(row.ravel().tolist(), key.ravel().tolist(), strict=True), strict=True
    ):
        assert (place >= 0) == (pair in known)


def test_lookup_gives_the_entry_or_minus_one() -> None:
    """Look-ups take any shape; a key of another row is not found."""
    some = table((0, 5, 1.0, 1.0), (1, 6, 1.0, 1.0), (2, -7, 1.0, 1.0))
    row, key = np.array([[0, 1], [2, 0]]), np.array([[5, 5], [-7, 6]])
    assert [[0, -1], [2, -1]] == some.lookup(row, key).tolist()
    assert [-1] == NOTHING.lookup(np.array([0]), np.array([5])).tolist()


def test_evict_compares_at_a_common_time() -> None:
    """An old strong entry can be weaker than a new weak one; ties keep the smaller key."""
    full = table((0, 1, 0.0, 4.0), (0, 2, 300.0, 1.0), (0, 3, 300.0, 1.0), (1, 9, 0.0, 0.1))
    kept = evict(full, 1, full.value[:, 1], HALF_LIVES[1])
    assert [(0, 2), (1, 9)] == list(zip(kept.row.tolist(), kept.key.tolist(), strict=True))
    assert full is evict(full, 3, full.value[:, 1], HALF_LIVES[1])


@pytest.mark.parametrize(("group", "rank"), [([], []), ([3], [0]), ([1, 1, 2, 5, 5, 5], [0, 1, 0, 0, 1, 2])])
def test_rank_in_group(group: list[int], rank: list[int]) -> None:
    """Counting starts again at every new value."""
    assert rank == rank_in_group(np.array(group, np.int64)).tolist()
