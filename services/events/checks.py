"""Checks of the fields of entries, from which the rules of the events contract are made; events.proto documents them.

Each returns a broken rule or None; functions that take a field's name make a check of that field. Limits of size are
constants of the contract; limits of time and declared attributes come in the RuleContext. Lengths are in UTF-8 bytes.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from crossrec.events.v1.events_pb2 import EVENT_TYPE_UNSPECIFIED
from services.features.attribute_rules import CATEGORIES, find_attributes_fault
from services.features.attributes import AttributeEntity, category_values
from services.features.config import FeatureConfig
from services.features.event_types import EVENT_TYPE_OF_NUMBER, select_event_types
from services.features.ids import MAX_STORED_ID_BYTES, SEPARATOR, find_id_fault, find_length_fault
from services.features.times import describe_age, describe_future

MAX_EVENT_TEXT_BYTES = 4096
MAX_NAME_BYTES = 1024
MAX_DESCRIPTION_BYTES = 16_384
MAX_FACET_BYTES = 256
MAX_CATEGORIES = 8
MAX_TOKEN_BYTES = 512
MAX_NUMBER = 1e9
EARLIEST_S = 315_532_800
"""1980-01-01T00:00:00Z."""

NANOS_PER_S = 1_000_000_000

_WITHOUT_ITEM, _WITH_TEXT, _WITH_VALUE = (
    " and ".join(select_event_types(**flag)).upper()
    for flag in ({"needs_item": False}, {"needs_text": True}, {"needs_value": True})
)


@dataclass(frozen=True)
class Violation:
    """A broken rule.

    Args:
        field: path below the entry, like `item_update.categories[2]`.
        reason: readable text.
    """

    field: str
    reason: str


@dataclass(frozen=True)
class RuleContext:
    """Inputs of the rules besides the entry."""

    config: FeatureConfig
    latest_s: float
    now_s: float
    max_age_s: float


Check = Callable[[Any, RuleContext], Violation | None]


def field(name: str, find_fault: Callable[[str], str | None]) -> Check:
    """The text of a field has no fault by `find_fault`."""

    def check(message: Any, _: RuleContext) -> Violation | None:
        fault = find_fault(getattr(message, name))
        return Violation(name, fault) if fault else None

    return check


def text(name: str, max_bytes: int) -> Check:
    """A field has at most so many bytes."""
    return field(name, lambda value: find_length_fault(value, max_bytes))


def valid_id(name: str) -> Check:
    """A field holds an id by the rules of ids."""
    return field(name, lambda value: find_id_fault(value) if value else "is empty")


def stored_id(name: str) -> Check:
    """Any id that rows may be stored under, from before the rules of ids, too."""
    return field(name, lambda value: find_length_fault(value, MAX_STORED_ID_BYTES) if value else "is empty")


def key_part(name: str) -> Check:
    """Any id that can be named in a key of the catalogue."""
    stored = stored_id(name)

    def check(message: Any, limits: RuleContext) -> Violation | None:
        if SEPARATOR in getattr(message, name):
            return Violation(name, "holds the separator of keys, U+001F")
        return stored(message, limits)

    return check


def number(name: str, low: float, high: float) -> Check:
    """A field, if it is set, holds a number within these bounds."""

    def check(message: Any, _: RuleContext) -> Violation | None:
        if message.HasField(name) and not low <= getattr(message, name) <= high:  # NaN is never within
            return Violation(name, f"is {getattr(message, name)}, must be from {low:g} to {high:g}")
        return None

    return check


def time(message: Any, limits: RuleContext) -> Violation | None:
    """The time is a timestamp from 1980 on, at most `latest_s`."""
    if not message.HasField("time"):
        return Violation("time", "is not set")
    given = message.time
    if not 0 <= given.nanos < NANOS_PER_S:
        return Violation("time", "is not a timestamp: nanos must be from 0 to 999,999,999")
    if given.seconds < EARLIEST_S:
        return Violation("time", "is before 1980")
    ahead_s = given.seconds - limits.latest_s + given.nanos / NANOS_PER_S
    return Violation("time", describe_future(given.seconds, ahead_s)) if ahead_s > 0 else None


def event_age(message: Any, limits: RuleContext) -> Violation | None:
    """The time is at most `max_age_s` ago."""
    age_s = limits.now_s - message.time.seconds
    if age_s <= limits.max_age_s:
        return None
    return Violation("time", describe_age(age_s, limits.max_age_s))


def event_type(message: Any, _: RuleContext) -> Violation | None:
    """The event type is known."""
    if message.type == EVENT_TYPE_UNSPECIFIED:
        return Violation("type", "is not set")
    if message.type not in EVENT_TYPE_OF_NUMBER:
        return Violation("type", f"is unknown: {message.type}")
    return None


def event_item(message: Any, _: RuleContext) -> Violation | None:
    """There is an item exactly where the event type has one."""
    kind = EVENT_TYPE_OF_NUMBER[message.type]
    if not kind.needs_item:
        return Violation("item_id", f"must be empty for {kind.name.upper()}") if message.item_id else None
    return None if message.item_id else Violation("item_id", f"is empty; required for all types but {_WITHOUT_ITEM}")


def event_value(message: Any, _: RuleContext) -> Violation | None:
    """There is a value where the event type needs one."""
    missing = EVENT_TYPE_OF_NUMBER[message.type].needs_value and not message.HasField("value")
    return Violation("value", f"is not set; required for {_WITH_VALUE}") if missing else None


def event_text(message: Any, _: RuleContext) -> Violation | None:
    """There is a text where the event type needs one."""
    missing = EVENT_TYPE_OF_NUMBER[message.type].needs_text and not message.text
    return Violation("text", f"is empty; required for {_WITH_TEXT}") if missing else None


def categories(message: Any, _: RuleContext) -> Violation | None:
    """The categories are few, and each has a name."""
    if len(message.categories) > MAX_CATEGORIES:
        return Violation("categories", f"has {len(message.categories)} entries, at most {MAX_CATEGORIES}")
    for index, category in enumerate(message.categories):
        if fault := find_category_fault(category):
            return Violation(f"categories[{index}]", fault)
    return None


def find_category_fault(category: str) -> str | None:
    """Why the text is not the name of a category, or None."""
    if not category:
        return "is empty"
    if SEPARATOR in category:  # the key of a category joins the names on its path
        return "holds the separator of keys, U+001F"
    return find_length_fault(category, MAX_FACET_BYTES)


def attributes(entity: AttributeEntity) -> Check:
    """The attributes are declared for the entity, and keep the rules of their kinds."""

    def check(message: Any, limits: RuleContext) -> Violation | None:
        values = category_values(getattr(message, CATEGORIES, {}))
        found = find_attributes_fault(limits.config, entity, message.attributes, values)
        return Violation(*found) if found else None

    return check
