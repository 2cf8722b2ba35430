"""Exports everything that the online store holds of a user, as readable plain values.

Names come from the schema table, times are ISO 8601 in UTC, null for what never happened. Items are stored as keys of
64 bits; items whose rows exist get their id and title. Knows no store implementation and no output.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np

from services.features.feature import VARIABLE, Feature
from services.features.hashing import NO_KEY, key64
from services.features.rows import Row
from services.features.schema import Schema, View
from services.store.folding import read_scenario_ids
from services.store.protocol import Key, RowStore, read_rows

ItemNames = dict[int, dict[str, str]]
"""Id and title by item key."""

Rows = dict[str, list[tuple[Key, Row]]]
"""Rows with their keys, by view."""

BOOKKEEPING = ("position", "schema")

ITEM_KEYS = ("item_key", "opinion_item_key")
"""Keys of items in a user's tables; a disliked item is in the table of opinions alone."""


def export_user(
    store: RowStore, schema: Schema, user_id: str, item_ids: Iterable[str], pseudonyms: Sequence[str] = ()
) -> dict[str, Any]:
    """The user's rows by view; `found`: whether there are any; `erased`: when the user was last erased.

    Args:
        store: the online store.
        schema: the feature schema.
        user_id: the user.
        item_ids: all items that may be named; items that are not in the user's rows are skipped.
        pseudonyms: present and former pseudonyms of the user; empty: rows are stored under the id. Not exported.

    Raises StoreUnavailable, StaleSchema.
    """
    stored_as = pseudonyms or [user_id]
    rows = _merge_rows([_read_user_rows(store, schema, name) for name in stored_as])
    item_keys = _collect_item_keys(row for of_view in rows.values() for _, row in of_view)
    names = _read_item_names(store, schema, item_keys, item_ids)
    marks = read_rows(store, schema["erased_user"], [(name,) for name in stored_as])
    erased_s = max((float(mark["erased_s"]) for mark in marks if mark is not None), default=None)
    return {
        "user_id": user_id,
        "found": any(rows.values()),
        "erased": None if erased_s is None else _format_time(erased_s),
        "half_lives_s": list(schema.config.half_lives_s),
        "views": {
            view: [
                _key_values(schema[view], key)
                | {"user_id": user_id}
                | describe_row(schema[view], row, names)
                | _profile(schema, row)
                for key, row in of_view
            ]
            for view, of_view in rows.items()
        },
    }


def describe_row(view: View, row: Row, names: ItemNames) -> dict[str, Any]:
    """A row as plain values by feature; a table as the list of its entries."""
    tables = [feature.name.removesuffix("_key") for feature in view.features if _is_table_key(feature)]
    columns = {f"{table}_{part}" for table in tables for part in ("key", "first_s", "s", "value")}
    plain = {f.name: _plain_value(f, row) for f in view.features if f.name not in columns and f.name not in BOOKKEEPING}
    bookkeeping = {name: row[name].tolist() for name in BOOKKEEPING if name in row}
    return plain | {table: _table_entries(table, row, names) for table in tables} | bookkeeping


def _profile(schema: Schema, row: Row) -> dict[str, Any]:
    """Attributes by name; of hashed categories, and of values that the vocabulary lacks, the keys."""
    if "profile_s" not in row:
        return {}
    numbers, categories = schema.config.numbers_of("user"), schema.config.categories_of("user")
    given = dict(zip((a.name for a in numbers), row["attributes"].tolist(), strict=True))
    values: dict[str, list[str | int]] = {}
    if categories:
        for attribute, keys in zip(categories, np.split(row["category_keys"], len(categories)), strict=True):
            names = {key64(value): value for value in attribute.values}
            values[attribute.name] = [names.get(key, key) for key in keys[keys != NO_KEY].tolist()]
    return {"attributes": given, "category_keys": values}


def _merge_rows(each: Sequence[Rows]) -> Rows:
    return {view: [keyed for rows in each for keyed in rows[view]] for view in each[0]}


def _read_user_rows(store: RowStore, schema: Schema, user_id: str) -> Rows:
    (user,) = read_rows(store, schema["user"], [(user_id,)])
    listed = [] if user is None else user["scenario_ids"].tolist()
    # A crash may have left rows of scenarios that the user's row does not list yet.
    scenarios = sorted({*listed, *read_scenario_ids(store, schema)})
    pairs: list[Key] = [(user_id, scenario) for scenario in scenarios]
    each = zip(pairs, read_rows(store, schema["user_scenario"], pairs), strict=True)
    return {
        "user": [] if user is None else [((user_id,), user)],
        "user_scenario": [(key, row) for key, row in each if row is not None],
    }


def _collect_item_keys(rows: Iterable[Row]) -> set[int]:
    return {key for row in rows for name in ITEM_KEYS if name in row for key in row[name].tolist()}


def _read_item_names(store: RowStore, schema: Schema, keys: set[int], item_ids: Iterable[str]) -> ItemNames:
    known = {key: item for item in item_ids if (key := key64(item)) in keys} if keys else {}
    ids: list[Key] = [(item,) for item in known.values()]
    rows = zip(known.items(), read_rows(store, schema["item"], ids), strict=True)
    return {key: {"item_id": item, "title": "" if row is None else str(row["title"])} for (key, item), row in rows}


def _key_values(view: View, key: Key) -> dict[str, Any]:
    return dict(zip(view.entities, key, strict=True))


def _is_table_key(feature: Feature) -> bool:
    return feature.length == VARIABLE and feature.name.endswith("_key")


def _table_entries(table: str, row: Row, names: ItemNames) -> list[dict[str, Any]]:
    keys = row[f"{table}_key"].tolist()
    first, newest = row[f"{table}_first_s"].tolist(), row[f"{table}_s"].tolist()
    values = row[f"{table}_value"].reshape(len(keys), -1).tolist() if keys else []
    return [
        {
            "key": key,
            **names.get(key, {}),
            "first": _format_time(first_s),
            "newest": _format_time(newest_s),
            "values": value,
        }
        for key, first_s, newest_s, value in zip(keys, first, newest, values, strict=True)
    ]


def _plain_value(feature: Feature, row: Row) -> Any:
    values = row[feature.name]
    if feature.name in {"counts", "opinions"} and feature.names:
        return dict(zip(feature.names, np.reshape(values, (len(feature.names), -1)).tolist(), strict=True))
    if feature.name.endswith("_s") and feature.dtype == "float64":
        return _format_times(values.tolist())
    return values.tolist()


def _format_times(seconds: float | Sequence[float]) -> Any:
    return _format_time(seconds) if isinstance(seconds, float) else [_format_time(each) for each in seconds]


def _format_time(seconds: float) -> str | None:
    return datetime.fromtimestamp(seconds, UTC).isoformat() if seconds > 0 else None
