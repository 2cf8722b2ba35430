"""Which columns say what of items, users and requests: title, categories, numbers and words.

Pure, on profiles; `roles.py` found who acted on what before.
"""

import json
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import pyarrow.compute as pc

from export.datasets.mapping import INDEX_NAMES
from export.datasets.start.names import best_column, plain
from export.datasets.start.profile import ColumnProfile, is_time
from services.events.checks import MAX_CATEGORIES, MAX_DESCRIPTION_BYTES, MAX_FACET_BYTES, MAX_NAME_BYTES

Transform = Literal["identity", "log1p"]

SEPARATORS = ("|", ";", ",", "/")
MOST_WORDS = 500
"""Distinct words up to which a column of texts is a category."""

LONGEST_TITLE = 80.0
"""Mean characters up to which a description is a title, where there is none."""

MOST_NAMES = 32
"""Most names in a list that is an attribute."""

MOST_BYTES = {
    "title": MAX_NAME_BYTES,
    "description": MAX_DESCRIPTION_BYTES,
    "brand": MAX_FACET_BYTES,
}
"""Longest texts that may be imported, by role."""

LONGEST_VOCABULARY, BUCKETS = 32, 64
"""Most words that are listed; more of them are hashed into so many columns."""

SKEW = 20.0
"""The largest is so many times the median: then the logarithm is read."""


@dataclass(frozen=True)
class ProposedAttribute:
    """A column that becomes a feature: a number, one category or a list of them; `why` for the comment.

    Categories have a vocabulary, `values`, or where it would be long, a number of hashed columns, `buckets`.
    """

    name: str
    column: str
    kind: Literal["number", "category", "categories"]
    why: str
    transform: Transform = "identity"
    values: tuple[str, ...] = ()
    buckets: int = 0


@dataclass
class Description:
    """What columns say of an entity: columns of the table to columns of the file, attributes, and what is left out."""

    columns: dict[str, str] = field(default_factory=dict)
    attributes: list[ProposedAttribute] = field(default_factory=list)
    unused: list[str] = field(default_factory=list)
    separator: str = ""


def describe_items(columns: Sequence[ColumnProfile]) -> Description:
    """Title, description, categories, brand and price by their names; the title, else, is the most telling text."""
    found = Description()
    free = {column.name: column for column in columns if column.kind not in {"empty", "object"} and column.distinct > 1}
    short = False
    for role in ("title", "description", "categories", "brand", "price"):
        fits = [c for c in free.values() if _fits(role, c)]
        name = best_column([c.name for c in fits], role)
        if name is None and role == "title":
            texts = [c for c in fits if c.distinct > MOST_WORDS or c.distinct > 0.5 * len(c.codes)]
            name = max(texts, key=lambda c: c.distinct).name if texts else None
        if name is not None:
            found.columns[role] = name
            short = free[name].length <= LONGEST_TITLE if role == "description" else short
            if role == "categories":
                found.separator = find_separator(free[name])
            del free[name]
    if "title" not in found.columns and "description" in found.columns and short:
        found.columns["title"] = found.columns.pop("description")
    _add_attributes(found, free.values())
    return found


def describe_others(columns: Sequence[ColumnProfile]) -> Description:
    """Attributes alone: of users and requests."""
    found = Description()
    _add_attributes(found, [c for c in columns if c.kind not in {"empty", "object"} and c.distinct > 1])
    return found


def _fits(role: str, column: ColumnProfile) -> bool:
    """Whether what the column holds may be imported in this role."""
    if role in MOST_BYTES and column.longest > MOST_BYTES[role]:
        return False
    if role == "categories" and any(len(names) > MAX_CATEGORIES for names in names_in(column)):
        return False
    if role == "price":
        return column.kind in {"integer", "number"} and float(column.numbers.min()) >= 0
    if role == "categories":
        return column.kind in {"text", "list"} or (column.kind == "integer" and column.distinct <= MOST_WORDS)
    return column.kind == "text"


def names_in(column: ColumnProfile) -> list[list[str]]:
    """The names in each distinct cell of a column of texts or lists."""
    mark = find_separator(column)
    cells = pc.unique(column.values.drop_null()).to_pylist()
    if column.kind == "list":
        return [[str(name) for name in json.loads(cell)] for cell in cells]
    return [cell.split(mark) if mark else [cell] for cell in cells]


def _add_attributes(found: Description, columns: Iterable[ColumnProfile]) -> None:
    for column in columns:
        attribute = propose_attribute(column)
        if attribute:
            found.attributes.append(attribute)
        else:
            found.unused.append(column.name)


def propose_attribute(column: ColumnProfile) -> ProposedAttribute | None:
    """The attribute that a column makes, or None: ids, times and texts with too many words make none."""
    name = attribute_name(column.name)
    if column.name in INDEX_NAMES or column.counts_rows or is_named_time(column):
        return None
    if column.kind in {"integer", "number"}:
        if column.kind == "integer" and plain(column.name).endswith(("id", "zip", "zipcode", "phone")):
            return None
        numbers = column.numbers
        middle, high, low = float(np.median(numbers)), float(numbers.max()), float(numbers.min())
        skewed = low >= 0 and high > SKEW * max(middle, 1e-9) and high > SKEW
        why = f"number, {low:g} to {high:g}" + (", skewed: its logarithm is read" if skewed else "")
        return ProposedAttribute(name, column.name, "number", why, "log1p" if skewed else "identity")
    if column.kind == "list":
        return _propose_list(name, column)
    if column.kind == "text" and column.distinct <= min(MOST_WORDS, max(30, 0.2 * len(column.codes))):
        few = column.distinct <= LONGEST_VOCABULARY
        words = tuple(sorted(column.words)) if few else ()
        return ProposedAttribute(
            name,
            column.name,
            "category",
            f"one of {column.distinct} words",
            values=words,
            buckets=0 if few else BUCKETS,
        )
    return None


def is_named_time(column: ColumnProfile) -> bool:
    """Whether it holds times, and is called so."""
    return best_column([column.name], "time") is not None and is_time(column)


def _propose_list(name: str, column: ColumnProfile) -> ProposedAttribute | None:
    lists = names_in(column)
    words = sorted({word for names in lists for word in names if word})
    if not words or len(words) > MOST_WORDS or max(map(len, lists)) > MOST_NAMES:
        return None
    few = len(words) <= LONGEST_VOCABULARY
    why = f"some of {len(words)} words"
    return ProposedAttribute(
        name, column.name, "categories", why, values=tuple(words) if few else (), buckets=0 if few else BUCKETS
    )


def attribute_name(column: str) -> str:
    """A column's name as a name of the settings."""
    return re.sub(r"\W+", "_", column.strip().lower()).strip("_") or "attribute"


def find_separator(column: ColumnProfile) -> str:
    """The mark between the names of a list in a cell, or "": parts between it occur again, in other cells."""
    texts = [text for text in column.values.drop_null()[:5000].to_pylist() if not text.startswith("[")]
    for mark in SEPARATORS:
        cut = [text for text in texts if mark in text]
        if len(cut) < 0.05 * max(len(texts), 1):
            continue
        parts = Counter(part.strip() for text in texts for part in text.split(mark))
        if len(parts) <= len(set(texts)):
            return mark
    return ""
