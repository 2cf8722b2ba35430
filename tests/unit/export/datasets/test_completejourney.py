"""The Complete Journey adapter on a tiny grocery."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from export.datasets.completejourney.adapter import load_completejourney
from export.datasets.completejourney.source import week_start_ms
from export.datasets.completejourney.text import plain_words
from export.datasets.errors import DatasetError
from export.datasets.tables import Dataset
from export.datasets.validation import validate_dataset, validate_order
from tests.unit.export.datasets.conftest import Grocery

WEEK_3 = "2017-01-10T09:00:00"
# Products 1 to 5 and 9 promoted in store 10 in week 3, all in-aisle (s2).
AISLE = [(p, 10, "7", "0", 3) for p in (1, 2, 3, 4, 5, 9)]


def load(grocery: Grocery, sales: list[Any], promoted: list[Any], **options: Any) -> Dataset:
    dataset = load_completejourney(source=grocery(sales, promoted), **options)
    validate_dataset(dataset)
    validate_order(dataset)
    return dataset


def candidates(dataset: Dataset, **wanted: Any) -> list[dict[str, Any]]:
    rows = [row for row in dataset.events.to_pylist() if row["type"] == "impression"]
    return [row for row in rows if all(row[k] == v for k, v in wanted.items())]


def purchases(dataset: Dataset, user_id: str) -> list[dict[str, Any]]:
    return [r for r in dataset.events.to_pylist() if r["type"] == "purchase" and r["user_id"] == user_id]


def test_lowest_placement_wins(grocery: Grocery) -> None:
    """A product in several placements of a store and week belongs to the lowest scenario, over all its rows."""
    promoted = [*AISLE, (1, 10, "7", "D", 3), (1, 10, "3", "A", 3), (2, 10, "0", "D", 3)]
    dataset = load(grocery, [(1, 10, 1, 1, 3, WEEK_3), (1, 10, 1, 2, 3, WEEK_3)], promoted)
    assert {"1": "s1", "2": "s2"} == {r["item_id"]: r["scenario_id"] for r in candidates(dataset, label=1)}


@pytest.mark.parametrize(
    ("display", "mailer", "scenario"),
    [
        ("1", "0", "s0"),
        ("2", "D", "s0"),
        ("6", "0", "s1"),
        ("9", "A", "s2"),
        ("A", "D", "s2"),
        ("0", "Z", "s3"),
        ("0", "A", "s4"),
        ("0", "C", "s4"),
        ("0", "0", "regular"),
    ],
)
def test_placement_codes(grocery: Grocery, display: str, mailer: str, scenario: str) -> None:
    """Display and mailer codes map to scenarios; no placement is a regular purchase."""
    dataset = load(grocery, [(1, 10, 1, 1, 3, WEEK_3)], [*AISLE[1:], (1, 10, display, mailer, 3)])
    assert [scenario] == [r["scenario_id"] for r in purchases(dataset, "1")]


def test_unknown_placement_code_is_named(grocery: Grocery) -> None:
    """An unknown location code is an error, not a silent non-promotion."""
    with pytest.raises(DatasetError, match="unknown location codes: Q"):
        load(grocery, [(1, 10, 1, 1, 3, WEEK_3)], [(1, 10, "0", "Q", 3)])


def test_placement_holds_for_its_store_and_week_only(grocery: Grocery) -> None:
    """The same product in another store, or a week later, is a regular purchase."""
    sales = [(1, 11, 1, 1, 3, WEEK_3), (1, 10, 2, 1, 4, "2017-01-17T09:00:00")]
    dataset = load(grocery, sales, [*AISLE, (2, 11, "1", "0", 3)])
    assert ["regular", "regular"] == [r["scenario_id"] for r in purchases(dataset, "1")]
    assert [] == candidates(dataset)


def test_one_positive_per_household_week_and_product(grocery: Grocery) -> None:
    """A product bought twice in a week is one positive, in the scenario of its first purchase."""
    sales = [(1, 11, 2, 1, 3, "2017-01-11T09:00:00"), (1, 10, 1, 1, 3, WEEK_3), (2, 10, 3, 1, 3, WEEK_3)]
    dataset = load(grocery, sales, [*AISLE, *((p, 11, "1", "0", 3) for p in (1, 2, 3, 4, 5))])
    positives = [(r["user_id"], r["item_id"], r["scenario_id"]) for r in candidates(dataset, label=1)]
    assert [("1", "1", "s2"), ("2", "1", "s2")] == positives


def test_negatives_are_distinct_promoted_and_not_bought(grocery: Grocery) -> None:
    """Negatives come from the same store, week and scenario, never from what was bought in that week."""
    sales = [(1, 10, 1, 1, 3, WEEK_3), (1, 12, 2, 9, 3, "2017-01-14T09:00:00")]
    others = [(8, 10, "7", "0", 3), (6, 10, "7", "0", 3), (7, 10, "7", "0", 3)]
    dataset = load(grocery, sales, AISLE + others)
    rows = candidates(dataset, label=0)
    assert ["2", "3", "4", "5"] == sorted(r["item_id"] for r in rows)
    assert {("1", "s2", "1-w3")} == {(r["user_id"], r["scenario_id"], r["request_id"]) for r in rows}


def test_small_pool_gives_fewer_negatives(grocery: Grocery) -> None:
    """Where fewer products are promoted than negatives are wanted, draws end."""
    dataset = load(grocery, [(1, 10, 1, 1, 3, WEEK_3)], AISLE[:3])
    assert ["2", "3"] == sorted(r["item_id"] for r in candidates(dataset, label=0))


def test_number_of_negatives_is_an_option(grocery: Grocery) -> None:
    """`negatives` sets how many are drawn per positive."""
    assert 2 == len(candidates(load(grocery, [(1, 10, 1, 1, 3, WEEK_3)], AISLE, negatives=2), label=0))


def test_candidate_order_hides_labels(grocery: Grocery) -> None:
    """Within a request candidates are in catalogue order and numbered so, bought or not."""
    dataset = load(grocery, [(1, 10, 1, 4, 3, WEEK_3)], AISLE)
    rows = candidates(dataset)
    assert sorted(int(r["item_id"]) for r in rows) == [int(r["item_id"]) for r in rows]
    assert [f"1-w3-{n}" for n in range(5)] == [r["event_id"] for r in rows]


def test_candidates_precede_every_purchase_of_their_week(grocery: Grocery) -> None:
    """A candidate's time is the first instant of its week, so no purchase of the week is known to it."""
    dataset = load(grocery, [(1, 10, 1, 1, 3, "2017-01-09T00:00:00")], AISLE)
    kinds = [r["type"] for r in dataset.events.to_pylist() if r["user_id"] == "1"]
    assert ["impression"] * 5 + ["purchase"] == kinds
    assert {datetime(2017, 1, 9, tzinfo=UTC)} == {r["time"] for r in candidates(dataset)}


def test_purchase_before_its_week_is_rejected(grocery: Grocery) -> None:
    """A calendar that would leak a label into its own features is an error."""
    with pytest.raises(DatasetError, match="outside their week, the first in basket 1 of week 3"):
        load(grocery, [(1, 10, 1, 1, 3, "2017-01-08T23:59:59")], AISLE)


def test_week_starts() -> None:
    """Week 1 is one day, then weeks run from Monday."""
    starts = [
        datetime.fromtimestamp(ms / 1000, UTC).date().isoformat() for ms in week_start_ms(np.array([1, 2, 3, 53]))
    ]
    assert ["2017-01-01", "2017-01-02", "2017-01-09", "2017-12-25"] == starts


def test_splits_by_week(grocery: Grocery) -> None:
    """Weeks 1 to 40 train, 41 to 44 validate, 45 to 53 test."""
    weeks = {40: "2017-09-26", 41: "2017-10-03", 44: "2017-10-24", 45: "2017-10-31"}
    sales = [(1, 10, week, 1, week, f"{day}T12:00:00") for week, day in weeks.items()]
    dataset = load(grocery, sales, [(p, 10, "7", "0", week) for week in weeks for p in (1, 2)])
    splits = {r["request_id"]: r["split"] for r in candidates(dataset)}
    assert {"1-w40": "train", "1-w41": "validation", "1-w44": "validation", "1-w45": "test"} == splits


def test_history_excludes_departments_and_unknown_products(grocery: Grocery) -> None:
    """Fuel and products without a description are not in the history; rare and uncategorised ones are, unranked."""
    sales = [(1, 10, 1, product, 3, WEEK_3) for product in (6, 7, 8, 999)]
    dataset = load(grocery, sales, [(p, 10, "7", "0", 3) for p in (1, 6, 7, 8)])
    assert ["7", "8"] == [r["item_id"] for r in purchases(dataset, "1")]
    assert [] == candidates(dataset)
    assert "1 purchases of products without a description are dropped." in dataset.notes


def test_purchases_keep_time_and_unit_price(grocery: Grocery) -> None:
    """A purchase has its own time, its basket's id and the price paid per piece."""
    (row,) = purchases(load(grocery, [(1, 10, 77, 1, 3, WEEK_3)], AISLE), "1")
    assert ("77-1", datetime(2017, 1, 10, 9, tzinfo=UTC), 1.5) == (row["event_id"], row["time"], row["value"])


def test_items_describe_only_what_occurs(grocery: Grocery) -> None:
    """Item rows carry words without package sizes, categories from broad to fine, maker and private label."""
    dataset = load(grocery, [(1, 10, 1, 2, 3, WEEK_3)], [(2, 10, "7", "0", 3), (8, 10, "7", "0", 3)])
    rows = {r["item_id"]: r for r in dataset.items.to_pylist() if r["scenario_id"] is None}
    assert {"1", "2", "3", "4", "5", "7", "9"} == set(rows)
    soup = rows["2"]
    assert ("canned soup", "soup, grocery", "69") == (soup["title"], soup["description"], soup["brand"])
    assert ["GROCERY", "SOUP", "CANNED SOUP 12 OZ"] == soup["categories"]
    assert [("private_label", 0.0)] == soup["attributes"]
    assert ["CHEF SHOPPE"] == rows["7"]["categories"]


def test_placement_counts_change_with_the_weeks(grocery: Grocery) -> None:
    """The stores placing an item are written when their number changes, 0 when the placement ends."""
    weeks = [(3, (10, 11)), (4, (10, 11)), (5, (10,))]
    promoted = [(1, store, "7", "0", week) for week, stores in weeks for store in stores]
    dataset = load(grocery, [(1, 10, 1, 1, 3, WEEK_3)], promoted)
    rows = [r for r in dataset.items.to_pylist() if r["scenario_id"] is not None]
    changes = [(r["item_id"], r["scenario_id"], r["time"].date().isoformat(), dict(r["attributes"])) for r in rows]
    assert [
        ("1", "s2", "2017-01-09", {"placement_stores": 2.0}),
        ("1", "s2", "2017-01-23", {"placement_stores": 1.0}),
        ("1", "s2", "2017-01-30", {"placement_stores": 0.0}),
    ] == changes


def test_household_sample_is_seeded_and_keeps_all_sales_counts(grocery: Grocery) -> None:
    """One household is enough for candidates: the five-sales rule counts everyone's purchases."""
    sales = [(n, 10, n, 1, 3, WEEK_3) for n in range(1, 30)]
    source = grocery(sales, AISLE)
    seed = next(
        s for s in range(100) if len(candidates(load_completejourney(source=source, households=1, seed=s), label=1))
    )
    first = load_completejourney(source=source, households=1, seed=seed)
    assert 1 == len(set(first.events["user_id"].to_pylist()))
    assert first.events.equals(load_completejourney(source=source, households=1, seed=seed).events)


def test_too_many_households_is_an_error(grocery: Grocery) -> None:
    """A sample larger than the population names the limit."""
    with pytest.raises(DatasetError, match="households must be 1 to 6, not 7"):
        load(grocery, [(1, 10, 1, 1, 3, WEEK_3)], AISLE, households=7)


def test_missing_file_is_named(tmp_path: Path) -> None:
    """The error names the missing file."""
    with pytest.raises(DatasetError, match=r"products\.parquet is missing"):
        load_completejourney(source=tmp_path)


@pytest.mark.parametrize(
    ("label", "words"),
    [
        ("FRZN JCE CONC/DRNKS", "frozen juice concentrate drink"),
        ("PIZZA (OVER 50%", "pizza"),
        ("POPULAR 750ML WINES", "popular wines"),
        ("FLUID MILK - 12 OZ", "fluid milk"),
        ("550", "550"),
    ],
)
def test_labels_become_words(label: str, words: str) -> None:
    """Abbreviations are expanded; amounts and sizes are removed, unless nothing else is left."""
    assert words == plain_words(label)
