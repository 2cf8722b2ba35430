"""The synthetic shop of the scale benchmark: complete, repeatable, and valid under the feature schema."""

from itertools import pairwise

import numpy as np
import pytest

from services.features.config import Attribute, FeatureConfig
from services.features.feature import VARIABLE
from services.features.rows import default_value
from services.features.schema import build_schema
from services.store.redis.wire import encode_block
from services.store.redis.wire_decode import StoredRows, decode_blocks
from tests.bench.scale_rows import CHUNK, SCENARIOS, SyntheticShop, Written, item_id, user_id

ATTRIBUTES = Attribute("size", "item"), Attribute("shelf", "item_scenario")
SCHEMA = build_schema(FeatureConfig(attributes=ATTRIBUTES))
SHOP = SyntheticShop(SCHEMA, items=CHUNK + 5, users=CHUNK + 3)


def all_rows(shop: SyntheticShop) -> list[Written]:
    return [written for make, chunks in shop.chunks() for chunk in range(chunks) for written in make(chunk)]


@pytest.fixture(scope="module")
def rows() -> list[Written]:
    return all_rows(SHOP)


def keys_of(rows: list[Written], view: str) -> list[tuple[str, ...]]:
    return [key for keys, block in rows if block.view.name == view for key in keys]


def test_every_item_and_user_exists_once(rows: list[Written]) -> None:
    assert keys_of(rows, "item") == [(item_id(number),) for number in range(SHOP.items)]
    assert keys_of(rows, "item_activity") == keys_of(rows, "item")
    assert keys_of(rows, "user") == [(user_id(number),) for number in range(SHOP.users)]


def test_an_item_is_in_one_or_two_scenarios_and_a_user_in_two(rows: list[Written]) -> None:
    for view, possible in (("item_scenario", {1, 2}), ("user_scenario", {2})):
        pairs = keys_of(rows, view)
        assert len(pairs) == len(set(pairs))
        assert {scenario for _, scenario in pairs} == set(SCENARIOS)
        assert {sum(1 for _ in group) for group in grouped(pairs)} == possible
    assert keys_of(rows, "item_scenario_activity") == keys_of(rows, "item_scenario")


def grouped(pairs: list[tuple[str, ...]]) -> list[list[tuple[str, ...]]]:
    """Consecutive pairs of the same entity."""
    borders = [place for place, (a, b) in enumerate(pairwise(pairs), 1) if a[0] != b[0]]
    return [pairs[a:b] for a, b in pairwise([0, *borders, len(pairs)])]


def test_every_facet_of_an_item_has_activity(rows: list[Written]) -> None:
    known = {int(key) for (key,) in keys_of(rows, "facet_activity")}
    of_items = np.concatenate([block.ints("facet_keys").ravel() for _, block in rows if block.view.name == "item"])
    assert set(of_items.tolist()) <= known


def test_an_item_lies_in_the_broader_categories_of_its_finest_one(rows: list[Written]) -> None:
    facets = np.concatenate([block.ints("facet_keys") for _, block in rows if block.view.name == "item"])
    for broad, fine in pairwise(facets.T[: SCHEMA.config.category_levels]):
        above = set(zip(fine.tolist(), broad.tolist(), strict=True))
        assert len(above) == len({finer for finer, _ in above})


def test_rows_match_the_schema(rows: list[Written]) -> None:
    """Encoded as the store does, they decode to the same values."""
    for keys, block in rows:
        assert block.size == len(keys)
        assert set(block.ints("schema").tolist()) == {SCHEMA.fingerprint}
        for feature in block.view.features:
            if feature.length != VARIABLE:
                assert block.fixed[feature.name].shape == (block.size, *default_value(feature).shape)
        (again,) = decode_blocks([StoredRows(block.view, encode_block(block), block.size)], bytes)
        for name, column in block.fixed.items():
            np.testing.assert_array_equal(again.fixed[name], column)
        for name, ragged in block.ragged.items():
            np.testing.assert_array_equal(again.ragged[name].lengths, ragged.lengths)
            np.testing.assert_array_equal(again.ragged[name].values, ragged.values)


def test_the_same_seed_gives_the_same_shop(rows: list[Written]) -> None:
    for (keys, block), (other_keys, other) in zip(rows, all_rows(SHOP), strict=True):
        assert keys == other_keys
        for name, column in block.fixed.items():
            np.testing.assert_array_equal(other.fixed[name], column)


def test_a_larger_shop_has_more_brands_in_the_same_categories() -> None:
    small, large = SyntheticShop(SCHEMA, 10_000, 1), SyntheticShop(SCHEMA, 1_000_000, 1)
    assert small.levels == [40, 400, 4000, 500]
    assert large.levels == [40, 400, 4000, 50_000]
