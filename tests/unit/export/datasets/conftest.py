"""A tiny grocery: two stores, a handful of products, in the published files' format."""

from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

PRODUCTS = [
    # id, department, category, type
    (1, "GROCERY", "SOUP", "DRY SOUP"),
    (2, "GROCERY", "SOUP", "CANNED SOUP 12 OZ"),
    (3, "GROCERY", "FRZN PIZZA", "PIZZA (OVER 50%"),
    (4, "DELI", "CHEESES", "CHEESE:BULK"),
    (5, "GROCERY", "SOUP", "DRY SOUP"),
    (6, "FUEL", "FUEL", "GASOLINE"),
    (7, "CHEF SHOPPE", None, None),
    (8, "GROCERY", "SOUP", "RARE SOUP"),
    (9, "GROCERY", "TEAS", "GREEN TEA"),
]


def products() -> pa.Table:
    ids, departments, categories, types = zip(*PRODUCTS, strict=True)
    return pa.table(
        {
            "product_id": list(ids),
            "manufacturer_id": [69] * len(ids),
            "department": list(departments),
            "brand": ["Private" if i % 2 else "National" for i in ids],
            "product_category": list(categories),
            "product_type": list(types),
            "package_size": [None] * len(ids),
        }
    )


def transactions(rows: list[tuple[int, int, int, int, int, str]]) -> pa.Table:
    """Rows of (household, store, basket, product, week, time)."""
    household, store, basket, product, week, time = zip(*rows, strict=True)
    count = len(rows)
    return pa.table(
        {
            "household_id": list(household),
            "store_id": list(store),
            "basket_id": list(basket),
            "product_id": list(product),
            "quantity": [2] * count,
            "sales_value": [3.0] * count,
            "week": list(week),
            "transaction_timestamp": pa.array([datetime.fromisoformat(t) for t in time], pa.timestamp("ns")),
        }
    )


def promotions(rows: list[tuple[int, int, str, str, int]]) -> pa.Table:
    """Rows of (product, store, display, mailer, week)."""
    product, store, display, mailer, week = zip(*rows, strict=True)
    return pa.table(
        {
            "product_id": list(product),
            "store_id": list(store),
            "display_location": list(display),
            "mailer_location": list(mailer),
            "week": list(week),
        }
    )


Grocery = Callable[..., Path]


@pytest.fixture
def grocery(tmp_path: Path) -> Grocery:
    """Writes a source directory: each of products 1 to 5, 7 and 9 sells five times in week 2, then `sales`."""

    def write(
        sales: list[tuple[int, int, int, int, int, str]],
        promoted: list[tuple[int, int, str, str, int]],
    ) -> Path:
        regular = [
            (900 + n, 99, 10_000 + n, product, 2, "2017-01-03T12:00:00")
            for n in range(5)
            for product in (1, 2, 3, 4, 5, 7, 9)
        ]
        directory = tmp_path / "source"
        directory.mkdir()
        pq.write_table(products(), directory / "products.parquet")
        pq.write_table(transactions(regular + sales), directory / "transactions.parquet")
        pq.write_table(promotions(promoted), directory / "promotions.parquet")
        return directory

    return write
