"""Checks of attributes by kind: users' attributes, and texts and lists of texts of users, items and contexts.

Finds what is not declared, declared without values, of another kind than declared, and values that a vocabulary lacks.
Reads names and values a batch at a time; knows nothing of events beyond their context.
"""

from collections import Counter
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc

from export.datasets.check.columns import TableReader
from export.datasets.check.report import Finding
from services.features.attributes import Attribute, AttributeEntity
from services.features.config import FeatureConfig

SOURCES: dict[AttributeEntity, tuple[str, str, str]] = {
    "user": ("users", "attributes", "category_attributes"),
    "item": ("items", "attributes", "category_attributes"),
    "context": ("events", "context", "context_categories"),
}
"""Table of each entity, and its columns of numbers and of categories."""

UNKNOWN_SHARE = 0.05
"""Share of values outside the vocabulary from which a finding is a warning."""

SHOWN_VALUES = 3


@dataclass
class GivenAttributes:
    """Attributes that the data has of one entity: names of numbers, and values of categories with their counts."""

    numbers: set[str] = field(default_factory=set)
    categories: dict[str, Counter[str]] = field(default_factory=dict)


def check_categories(tables: TableReader, config: FeatureConfig, *, labelled: bool) -> list[Finding]:
    """All findings about users' attributes and categories; contexts are those of labelled rows, if there are any."""
    given = {entity: _read(tables, entity, labelled=labelled) for entity in SOURCES}
    return [
        _undeclared(given, config),
        _without_values(given, config),
        _other_kinds(given, config),
        _outside_vocabulary(given, config),
    ]


def _read(tables: TableReader, entity: AttributeEntity, *, labelled: bool) -> GivenAttributes:
    """What the data has of items themselves, of users, and of contexts."""
    table, numbers, categories = SOURCES[entity]
    found, there = GivenAttributes(), tables.columns(table)
    decides = {"item": "scenario_id", "context": "label" if labelled else ""}.get(entity, "")
    wanted = [name for name in (numbers, categories, decides) if name and name in there]
    for batch in tables.batches(table, wanted):
        rows = pa.Table.from_batches([batch])
        if decides:
            rows = rows.filter(rows[decides].is_valid() if entity == "context" else rows[decides].is_null())
        if numbers in wanted:
            found.numbers |= set(pc.unique(rows[numbers].combine_chunks().keys).to_pylist())
        if categories in wanted:
            _count_values(rows[categories].combine_chunks(), found.categories)
    return found


def _count_values(maps: pa.MapArray, counts: dict[str, Counter[str]]) -> None:
    for name in pc.unique(maps.keys).to_pylist():
        lists = maps.items.filter(pc.equal(maps.keys, name))
        values = pc.value_counts(pc.list_flatten(lists)).to_pylist()
        counts.setdefault(name, Counter()).update({each["values"]: each["counts"] for each in values})


def _undeclared(given: dict[AttributeEntity, GivenAttributes], config: FeatureConfig) -> Finding:
    found = []
    for entity, present in given.items():
        names = present.categories.keys() | (present.numbers if entity == "user" else set())
        declared = {attribute.name for attribute in config.attributes_of(entity)}
        found += [f"{entity} {name}" for name in sorted(names - declared)]
    return Finding(
        "users' attributes and categories not declared",
        "warning" if found else "ok",
        "They are not features until [[features.attributes]] declares them: kind category or categories for texts."
        if found
        else "Every attribute of users and every category of the data is declared.",
        {"attributes": found} if found else {},
    )


def _without_values(given: dict[AttributeEntity, GivenAttributes], config: FeatureConfig) -> Finding:
    found = []
    for entity, present in given.items():
        checked = config.attributes_of(entity) if entity == "user" else config.categories_of(entity)
        names = present.numbers | present.categories.keys()
        found += [f"{entity} {attribute.name}" for attribute in checked if attribute.name not in names]
    return Finding(
        "declared users' attributes and categories that are missing",
        "warning" if found else "ok",
        "Their features are always empty: check spelling and entity."
        if found
        else "Every declared attribute of users and every declared category has values.",
        {"attributes": found} if found else {},
    )


def _other_kinds(given: dict[AttributeEntity, GivenAttributes], config: FeatureConfig) -> Finding:
    found = []
    for entity, present in given.items():
        found += [f"{entity} {a.name}: texts" for a in config.numbers_of(entity) if a.name in present.categories]
        found += [f"{entity} {a.name}: numbers" for a in config.categories_of(entity) if a.name in present.numbers]
    return Finding(
        "attributes of another kind than declared",
        "error" if found else "ok",
        "crossrec replay refuses them: declare texts as category or categories, numbers as number."
        if found
        else "All values are of the kind that their attribute is declared with.",
        {"attributes": found} if found else {},
    )


def _outside_vocabulary(given: dict[AttributeEntity, GivenAttributes], config: FeatureConfig) -> Finding:
    shares: dict[str, float] = {}
    shown: dict[str, str] = {}
    for entity, present in given.items():
        for attribute in config.categories_of(entity):
            unknown = _unknown_values(attribute, present.categories.get(attribute.name, Counter()))
            if unknown:
                name = f"{entity} {attribute.name}"
                shares[name] = unknown.total() / present.categories[attribute.name].total()
                most = ", ".join(value for value, _ in unknown.most_common(SHOWN_VALUES))
                shown[name] = f"{shares[name]:.1%} of values, most often {most}"
    worst = max(shares.values(), default=0.0)
    return Finding(
        "values outside a vocabulary",
        "ok" if not shares else "warning" if worst > UNKNOWN_SHARE else "note",
        "They all count as one unknown value: add frequent ones to `values`, or hash them with `buckets`."
        if shares
        else "Every value of a declared vocabulary is in it.",
        shown,
    )


def _unknown_values(attribute: Attribute, counts: Counter[str]) -> Counter[str]:
    known = set(attribute.values)
    return Counter({value: count for value, count in counts.items() if value not in known}) if known else Counter()
