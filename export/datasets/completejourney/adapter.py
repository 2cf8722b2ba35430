"""The Complete Journey adapter: grocery purchases and promotions as cross-scenario ranking data.

A scenario is the placement that exposed a product: store displays (s0 to s2) or the weekly mailer
(s3, s4). Purchases without a promotion are in `regular`, a source of history, never a target.
Knows the three tables; candidates.py selects the candidates.
"""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from export.datasets.completejourney.candidates import CandidateColumns, build_candidates, select_eligible_products
from export.datasets.completejourney.source import (
    DAY_MS,
    FIRST_DAY_MS,
    SCENARIO_COUNT,
    WEEKS,
    Array,
    PlacementColumns,
    ProductColumns,
    TransactionColumns,
    packaged_directory,
    read_package_metadata,
    read_source,
    week_start_ms,
)
from export.datasets.completejourney.text import SCENARIO_TEXTS, plain_words
from export.datasets.errors import DatasetError
from export.datasets.tables import (
    EVENTS,
    ITEMS,
    SCENARIOS,
    SPLITS,
    Dataset,
    ReportStep,
    from_columns,
    sort_by_time,
    sort_events,
)

# Not products that a shopper chooses, or too few to rank.
EXCLUDED_DEPARTMENTS = (
    "FUEL",
    "COUPON",
    "MISCELLANEOUS",
    "POSTAL CENTER",
    "PHOTO & VIDEO",
    "VIDEO RENTAL",
    "CHARITABLE CONT",
    "GARDEN CENTER",
)
CATALOGUE_TIME_MS = FIRST_DAY_MS - DAY_MS
LABEL_COLUMNS = ("department", "product_category", "product_type")
NOTES = (
    "Candidates count as impressions of the week, so exposure and click-through of earlier weeks are features.",
    "A candidate's time is the UTC midnight that opens its week; negatives are by definition not bought in "
    "that week, so features must not include it. Candidates carry no price: the week's price shows in sales only.",
    "Stores are 4 or 5 hours behind UTC: purchases of a week's last evening fall after the next week's "
    "candidates, whose features do not include them.",
    "Item versions with a scenario count the stores that place the product there in that week. They take the "
    "week's promotion calendar as known when the week begins.",
    "Positives follow popularity while negatives are uniform over the promoted products of the same week, store "
    "and scenario, so popularity looks better than it would live.",
)


def load_completejourney(
    *,
    source: Path | None = None,
    households: int | None = None,
    seed: int = 0,
    negatives: int = 4,
    report: ReportStep = lambda _: None,
) -> Dataset:
    """Load the data set from the installed package, or from the same files in `source`.

    `households` is the size of a seeded sample; sales counts and promotions are always those of all households.
    `negatives` is the number drawn per positive.
    """
    report("reading transactions and promotions")
    data = read_source(source or packaged_directory())
    goods = _goods(data.products)
    eligible = select_eligible_products(
        data.transactions, goods & data.products.table["product_category"].is_valid().to_numpy()
    )
    kept = data.transactions.where(_household_mask(data.transactions, households, seed))
    report("sampling candidates")
    rng = np.random.default_rng([seed, 1])
    candidates = build_candidates(kept, data.placements, eligible, negatives, rng)
    history = kept.where(goods[kept.product])
    report("building tables")
    events = pa.concat_tables(
        [_candidate_events(candidates, data.products), _purchase_events(history, data.placements, data.products)]
    )
    seen = np.union1d(history.product, candidates.product)
    items = pa.concat_tables([_item_rows(data.products, seen), _placement_rows(data.placements, data.products, seen)])
    notes = (*NOTES, f"{data.unknown_product_rows} purchases of products without a description are dropped.")
    return Dataset(sort_events(events), sort_by_time(items), _scenario_rows(), read_package_metadata(), notes)


def _goods(products: ProductColumns) -> npt.NDArray[np.bool_]:
    """Per product: not in an excluded department."""
    excluded = pc.is_in(products.table["department"], value_set=pa.array(EXCLUDED_DEPARTMENTS))
    return ~np.asarray(excluded.to_numpy())


def _household_mask(transactions: TransactionColumns, households: int | None, seed: int) -> npt.NDArray[np.bool_]:
    """Mask of the transactions of a seeded sample of households."""
    known = np.unique(transactions.household)
    if households is None:
        return np.ones(len(transactions), dtype=bool)
    if not 1 <= households <= len(known):
        raise DatasetError(f"households must be 1 to {len(known)}, not {households}")
    chosen = np.random.default_rng(seed).choice(known, households, replace=False)
    return np.isin(transactions.household, chosen)


def _candidate_events(rows: CandidateColumns, products: ProductColumns) -> pa.Table:
    request = _concatenate(_text(rows.household), "-w", _text(rows.week))
    opens = np.ones(len(rows), dtype=bool)
    opens[1:] = (np.diff(rows.household) != 0) | (np.diff(rows.week) != 0)
    first = np.flatnonzero(opens)
    ordinal = np.arange(len(rows)) - np.repeat(first, np.diff(np.append(first, len(rows))))
    columns = {
        "event_id": _concatenate(request, "-", _text(ordinal)),
        "user_id": _text(rows.household),
        "scenario_id": _scenario_ids(rows.scenario),
        "item_id": _text(products.ids[rows.product]),
        "type": _constant("impression", len(rows)),
        "time": pa.array(week_start_ms(rows.week)),
        "label": pa.array(rows.label),
        "sampling": pa.array(np.full(len(rows), "uniform", object), pa.string(), mask=np.asarray(rows.label) == 1),
        "split": pa.array(SPLITS).take(pa.array(rows.split)),
        "request_id": request,
    }
    return from_columns(EVENTS, columns, len(rows))


def _purchase_events(rows: TransactionColumns, placements: PlacementColumns, products: ProductColumns) -> pa.Table:
    item = _text(products.ids[rows.product])
    columns = {
        "event_id": _concatenate(_text(rows.basket), "-", item),
        "user_id": _text(rows.household),
        "scenario_id": _scenario_ids(placements.scenario_of(rows.week, rows.store, rows.product)),
        "item_id": item,
        "type": _constant("purchase", len(rows)),
        "time": pa.array(rows.time_ms),
        "value": pa.array(rows.unit_price, mask=np.isnan(rows.unit_price)),
    }
    return from_columns(EVENTS, columns, len(rows))


def _item_rows(products: ProductColumns, seen: Array) -> pa.Table:
    """One version of each item, earlier than the first purchase."""
    rows = products.table.take(pa.array(seen)).to_pylist()
    labels = [[row[c] for c in LABEL_COLUMNS if row[c]] for row in rows]
    columns = {
        "item_id": _text(products.ids[seen]),
        "time": pa.array(np.full(len(rows), CATALOGUE_TIME_MS)),
        "title": [_title(names) for names in labels],
        "description": [", ".join(plain_words(name) for name in names[-2::-1]) or None for names in labels],
        "categories": labels,
        "brand": [str(row["manufacturer_id"]) for row in rows],
        "attributes": [[("private_label", float(row["brand"] == "Private"))] for row in rows],
    }
    return from_columns(ITEMS, columns, len(rows))


def _title(labels: list[str]) -> str:
    """Category and type, or the type alone if it contains the category: types are often words like `traditional`."""
    kind, category = plain_words(labels[-1]), plain_words(labels[1] if len(labels) > 2 else "")
    return kind if set(category.split()) <= set(kind.split()) else f"{category}: {kind}"


def _placement_rows(placements: PlacementColumns, products: ProductColumns, seen: Array) -> pa.Table:
    """Number of stores that place each product in each scenario, where it differs from the week before."""
    row_of = np.full(len(products.ids), -1, dtype=np.int64)
    row_of[seen] = np.arange(len(seen))
    row = row_of[placements.product]
    kept = row >= 0
    cell = (row[kept] * SCENARIO_COUNT + placements.scenario[kept]) * (WEEKS + 1) + placements.week[kept]
    shape = (len(seen), SCENARIO_COUNT, WEEKS + 1)
    stores = np.bincount(cell, minlength=int(np.prod(shape))).astype(np.int32).reshape(shape)
    item, scenario, before = np.nonzero(np.diff(stores, axis=2))
    values = pa.array(stores[item, scenario, before + 1].astype(np.float64))
    count = len(item)
    keys = _constant("placement_stores", count)
    columns = {
        "item_id": _text(products.ids[seen[item]]),
        "scenario_id": _scenario_ids(scenario),
        "time": pa.array(week_start_ms(before + 1)),
        "categories": pa.ListArray.from_arrays(np.zeros(count + 1, dtype=np.int32), pa.array([], pa.string())),
        "attributes": pa.MapArray.from_arrays(np.arange(count + 1, dtype=np.int32), keys, values),
    }
    return from_columns(ITEMS, columns, count)


def _scenario_rows() -> pa.Table:
    ids, names, descriptions = zip(*SCENARIO_TEXTS, strict=True)
    columns = {
        "scenario_id": list(ids),
        "time": pa.array(np.full(len(ids), CATALOGUE_TIME_MS)),
        "name": list(names),
        "description": list(descriptions),
    }
    return from_columns(SCENARIOS, columns, len(ids))


def _scenario_ids(scenario: npt.NDArray[np.integer]) -> pa.Array:
    """Ids of scenario numbers; -1, no placement, is the last one, `regular`."""
    ids = pa.array([scenario_id for scenario_id, _, _ in SCENARIO_TEXTS])
    return ids.take(pa.array(scenario % len(SCENARIO_TEXTS)))


def _text(numbers: Array) -> pa.Array:
    return pa.array(numbers).cast(pa.string())


def _concatenate(*parts: pa.Array | str) -> pa.Array:
    return pc.binary_join_element_wise(*parts, "")


def _constant(value: str, rows: int) -> pa.Array:
    return pa.repeat(pa.scalar(value), rows)
