"""Looking up candidates in tables of users, against a dictionary."""

import numpy as np
import pytest

from services.features import matching
from services.features.config import FeatureConfig
from services.features.feature_rows import sort_keys
from services.features.matching import lookup
from services.features.rows import Block, Ints, Ragged, default_block
from services.features.schema import build_schema

SCHEMA = build_schema(FeatureConfig(category_levels=1))
HALF_LIVES = len(SCHEMA.config.half_lives_s)


def block_of(keys: list[Ints], random: np.random.Generator) -> Block:
    """Rows of users with tables of items of these keys, rising in each row, and any values."""
    lengths, all_keys = np.array([len(row) for row in keys]), np.concatenate(keys)
    values, size = random.random(HALF_LIVES * len(all_keys)), len(all_keys)
    table = {
        "item_key": Ragged(all_keys, lengths),
        "item_first_s": Ragged(random.random(size), lengths),
        "item_s": Ragged(random.random(size) * 1e9, lengths),
        "item_value": Ragged(values, lengths * HALF_LIVES),
    }
    return default_block(SCHEMA["user"], len(keys)).with_columns({}, table)


@pytest.mark.parametrize("dense_cells", [0, 1 << 20], ids=["sparse", "dense"])
@pytest.mark.parametrize("seed", range(6))
def test_lookups_find_what_a_dictionary_finds(monkeypatch: pytest.MonkeyPatch, seed: int, dense_cells: int) -> None:
    """Random tables, empty and full ones among them; unknown keys, and keys that stand in the rows twice."""
    monkeypatch.setattr(matching, "MAX_DENSE_CELLS", dense_cells)
    random = np.random.default_rng(seed)
    universe = random.integers(-(2**63), 2**63 - 1, 60)
    shares = random.choice([0.0, 0.3, 1.0], 5)
    rows = [np.sort(universe[random.random(60) < share]) for share in shares]
    block = block_of(rows, random)
    keys = random.choice(universe, 40, replace=seed % 2 == 0)
    keys[0] = 5  # in no table
    row, key = random.integers(0, len(rows), (30, 4)), random.integers(0, len(keys), (30, 1))

    found = lookup(SCHEMA.config, block, "item", row, sort_keys(keys), key)

    known = {}
    for number, keys_of_row in enumerate(rows):
        known |= {(number, wanted): len(known) + place for place, wanted in enumerate(keys_of_row.tolist())}
    values = block.ragged["item_value"].values.reshape(-1, HALF_LIVES)
    expected = np.zeros((30, 4, HALF_LIVES), np.float32)
    for place, number in np.ndenumerate(row):
        entry = known.get((number, keys[key[place[0], 0]].item()))
        if entry is not None:
            expected[place] = values[entry]
    np.testing.assert_array_equal(expected, found.gather(found.table.value))


def test_nothing_is_found_in_empty_tables() -> None:
    block = default_block(SCHEMA["user"], 2)
    keys = sort_keys(np.array([3, 1, 2]))
    found = lookup(SCHEMA.config, block, "item", np.array([0, 1]), keys, np.array([2, 0]))
    assert [0, 0] == found.entry_index.tolist()


def test_sorted_keys_know_their_places() -> None:
    keys = np.array([7, -3, 7, 0])
    assert keys.tolist() == sort_keys(keys).in_place().tolist()
    assert not sort_keys(keys).distinct
    assert sort_keys(keys[1:]).distinct
    assert sort_keys(keys[:0]).distinct
