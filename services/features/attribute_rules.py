"""The rules of declared attributes, the same at every door: which names, how many values, how long.

Knows what is declared; knows nothing of messages, requests or files.
"""

import json
import math
from collections.abc import Mapping, Sequence

from services.features.attributes import SLOTS, Attribute, AttributeEntity, find_value_fault
from services.features.config import FeatureConfig

NUMBERS, CATEGORIES = "attributes", "category_attributes"
"""Names of the two fields, of an update or of a request's context, that hold attributes."""

MAX_VALUES = 256
"""Most values of all categories of one update or context."""

_MAX_SHOWN_CHARS = 128

Fault = tuple[str, str]
"""Path of what breaks a rule, like `attributes["age"]`, and the reason."""


def find_attributes_fault(
    config: FeatureConfig, entity: AttributeEntity, numbers: Mapping[str, float], values: Mapping[str, Sequence[str]]
) -> Fault | None:
    """The first broken rule of the attributes of an entity, or None."""
    if not numbers and not values:
        return None
    declared = {attribute.name: attribute for attribute in config.attributes_of(entity)}
    for name in sorted(numbers):
        if reason := _name_fault(name, entity, declared, NUMBERS) or _number_fault(numbers[name]):
            return attribute_path(NUMBERS, name), reason
    for name in sorted(values):
        path = attribute_path(CATEGORIES, name)
        if reason := _name_fault(name, entity, declared, CATEGORIES):
            return path, reason
        if found := find_values_fault(values[name], single=declared[name].kind == "category"):
            return path + found[0], found[1]
    total = sum(map(len, values.values()))
    return (CATEGORIES, f"has {total} values in all, at most {MAX_VALUES}") if total > MAX_VALUES else None


def find_values_fault(values: Sequence[str], *, single: bool = False) -> Fault | None:
    """The first broken rule of the values of one attribute of categories, the path relative to it; or None."""
    most = 1 if single else SLOTS
    if len(values) > most:
        only = ": it is declared with kind category" if single else ""
        return "", f"has {len(values)} values, at most {most}{only}"
    for number, value in enumerate(values):
        if reason := find_value_fault(value):
            return f"[{number}]", reason
    return None


def attribute_path(field: str, name: str) -> str:
    """The path of an attribute below the message that holds it; long names are cut."""
    return f"{field}[{json.dumps(name[:_MAX_SHOWN_CHARS], ensure_ascii=False)}]"


def _name_fault(name: str, entity: AttributeEntity, declared: Mapping[str, Attribute], field: str) -> str | None:
    if name not in declared:
        return f"is not declared for entity {entity}; declared are: {', '.join(sorted(declared)) or 'none'}"
    kind = declared[name].kind
    right = NUMBERS if kind == "number" else CATEGORIES
    return None if field == right else f"is declared with kind {kind}: give it in {right}"


def _number_fault(value: float) -> str | None:
    return None if math.isfinite(value) else f"is {value:g}, must be finite"
