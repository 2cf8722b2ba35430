"""Attributes as files have them, numbers, texts and lists of texts in one object, as the two columns of a table.

Knows the columns and Arrow types; knows nothing of files, and not what the settings declare.
"""

import json
from typing import Any

import pyarrow as pa

CATEGORY_COLUMNS = {"attributes": "category_attributes", "context": "context_categories"}
"""Columns of named attributes, and the columns that hold those of them that are texts and lists of texts."""


def may_hold_texts(kind: pa.DataType) -> bool:
    """Whether values of a column of this type may hold texts besides numbers."""
    if pa.types.is_map(kind):
        return not (pa.types.is_floating(kind.item_type) or pa.types.is_integer(kind.item_type))
    return True


def split_attributes(given: list[Any], categories: list[Any]) -> tuple[list[Any], list[Any]]:
    """Each row's attributes without texts and lists of texts, and its categories with them.

    `given` and `categories` are objects, lists of pairs as Parquet has them, JSON as CSV has it, or None. What is none
    of these stays as it is: its converter reports it.
    """
    rows = [_split_row(*row) for row in zip(given, categories, strict=True)]
    return [numbers for numbers, _ in rows], [texts for _, texts in rows]


def _split_row(given: Any, categories: Any) -> tuple[Any, Any]:
    pairs = _pairs(given)
    if pairs is None or not any(isinstance(value, str | list) for _, value in pairs):
        return given, categories
    texts = [pair for pair in pairs if isinstance(pair[1], str | list)]
    numbers = {name: value for name, value in pairs if not isinstance(value, str | list)}
    # In the form in which it was given: cells of CSV are converted from text.
    return json.dumps(numbers) if isinstance(given, str) else numbers, [*(_pairs(categories) or []), *texts]


def _pairs(given: Any) -> list[tuple[str, Any]] | None:
    """Names and values of an object; None if it is none."""
    if isinstance(given, str):
        try:
            given = json.loads(given)
        except (ValueError, RecursionError):
            return None
    pairs = list(given.items()) if isinstance(given, dict) else given
    good = isinstance(pairs, list) and all(
        isinstance(p, tuple) and len(p) == 2 and isinstance(p[0], str) for p in pairs
    )
    return pairs if good else None
