"""Validation rules of the events contract, one small check each; events.proto documents them.

Pure: the clock and the declared attributes are arguments. Lengths are in UTF-8 bytes. Rules are checked in the order of
the table, and the first broken one is returned.
"""

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp

from crossrec.events.v1.events_pb2 import EVENT_TYPE_UNSPECIFIED, Entry
from services.events.routing import DELETIONS
from services.features.config import AttributeEntity, FeatureConfig
from services.features.event_types import EVENT_TYPE_OF_NUMBER, select_event_types
from services.features.ids import MAX_ID_BYTES, MAX_STORED_ID_BYTES, SEPARATOR, find_id_fault, find_length_fault
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

_PLAIN_TYPES = frozenset(
    number
    for number, event_type in EVENT_TYPE_OF_NUMBER.items()
    if event_type.needs_item and not event_type.needs_text and not event_type.needs_value
)
"""Numbers of types that need an item, and neither text nor value."""

_WITHOUT_ITEM, _WITH_TEXT, _WITH_VALUE = (
    " and ".join(select_event_types(**flag)).upper()
    for flag in ({"needs_item": False}, {"needs_text": True}, {"needs_value": True})
)

_NANOS_PER_S = 1_000_000_000
_MAX_SHOWN_CHARS = 128


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


def find_violation(
    entry: Entry, config: FeatureConfig, now_s: float, future_tolerance_s: float, max_age_s: float = math.inf
) -> Violation | None:
    """The first broken rule of a stamped entry, or None.

    Args:
        entry: an entry after `stamp_entry`; a missing id or time is a violation.
        config: feature settings with the declared attributes.
        now_s: current time, seconds since 1970.
        future_tolerance_s: maximum time of an event after `now_s`, seconds.
        max_age_s: maximum age of a behaviour event, seconds.
    """
    kind = entry.WhichOneof("entry")
    if kind is None:
        return Violation("entry", f"is not set: give one of {', '.join(RULES)}")
    message = getattr(entry, kind)
    if kind == "behavior_event" and _passes_fast_check(message, now_s, now_s + future_tolerance_s, max_age_s):
        return None
    limits = RuleContext(config, now_s + future_tolerance_s, now_s, max_age_s)
    found = next(filter(None, (check(message, limits) for check in RULES[kind])), None)
    return Violation(f"{kind}.{found.field}", found.reason) if found else None


def stamp_entry(entry: Entry, now_s: float, make_id: Callable[[], str]) -> Entry:
    """A copy with event_id and time filled in where missing, and without unknown fields."""
    copy = Entry()
    copy.CopyFrom(entry)
    copy.DiscardUnknownFields()
    kind = copy.WhichOneof("entry")
    if kind is None:
        return copy
    message = getattr(copy, kind)
    if not message.event_id:
        message.event_id = make_id()
    if kind not in DELETIONS and not message.HasField("time"):
        seconds, micros = divmod(round(now_s * 1_000_000), 1_000_000)
        message.time.CopyFrom(Timestamp(seconds=seconds, nanos=micros * 1000))
    return copy


def _rule(field: str, find_fault: Callable[[str], str | None]) -> Check:
    def check(message: Any, _: RuleContext) -> Violation | None:
        fault = find_fault(getattr(message, field))
        return Violation(field, fault) if fault else None

    return check


def _text(field: str, max_bytes: int) -> Check:
    return _rule(field, lambda text: find_length_fault(text, max_bytes))


def _id(field: str) -> Check:
    return _rule(field, lambda text: find_id_fault(text) if text else "is empty")


def _stored_id(field: str) -> Check:
    """Any id that rows may be stored under, from before the rules of ids, too."""
    return _rule(field, lambda text: find_length_fault(text, MAX_STORED_ID_BYTES) if text else "is empty")


def _key_part(field: str) -> Check:
    """Any id that can be named in a key of the catalogue."""
    stored = _stored_id(field)

    def check(message: Any, limits: RuleContext) -> Violation | None:
        if SEPARATOR in getattr(message, field):
            return Violation(field, "holds the separator of keys, U+001F")
        return stored(message, limits)

    return check


def _number(field: str, low: float, high: float) -> Check:
    def check(message: Any, _: RuleContext) -> Violation | None:
        if message.HasField(field) and not low <= getattr(message, field) <= high:  # NaN is never within
            return Violation(field, f"is {getattr(message, field)}, must be from {low:g} to {high:g}")
        return None

    return check


def _time(message: Any, limits: RuleContext) -> Violation | None:
    if not message.HasField("time"):
        return Violation("time", "is not set")
    time = message.time
    if not 0 <= time.nanos < _NANOS_PER_S:
        return Violation("time", "is not a timestamp: nanos must be from 0 to 999,999,999")
    if time.seconds < EARLIEST_S:
        return Violation("time", "is before 1980")
    ahead_s = time.seconds - limits.latest_s + time.nanos / _NANOS_PER_S
    return Violation("time", describe_future(time.seconds, ahead_s)) if ahead_s > 0 else None


def _event_age(message: Any, limits: RuleContext) -> Violation | None:
    age_s = limits.now_s - message.time.seconds
    if age_s <= limits.max_age_s:
        return None
    return Violation("time", describe_age(age_s, limits.max_age_s))


def _event_type(message: Any, _: RuleContext) -> Violation | None:
    if message.type == EVENT_TYPE_UNSPECIFIED:
        return Violation("type", "is not set")
    if message.type not in EVENT_TYPE_OF_NUMBER:
        return Violation("type", f"is unknown: {message.type}")
    return None


def _event_item(message: Any, _: RuleContext) -> Violation | None:
    event_type = EVENT_TYPE_OF_NUMBER[message.type]
    if not event_type.needs_item:
        return Violation("item_id", f"must be empty for {event_type.name.upper()}") if message.item_id else None
    return None if message.item_id else Violation("item_id", f"is empty; required for all types but {_WITHOUT_ITEM}")


def _event_value(message: Any, _: RuleContext) -> Violation | None:
    missing = EVENT_TYPE_OF_NUMBER[message.type].needs_value and not message.HasField("value")
    return Violation("value", f"is not set; required for {_WITH_VALUE}") if missing else None


def _event_text(message: Any, _: RuleContext) -> Violation | None:
    missing = EVENT_TYPE_OF_NUMBER[message.type].needs_text and not message.text
    return Violation("text", f"is empty; required for {_WITH_TEXT}") if missing else None


def _passes_fast_check(event: Any, now_s: float, latest_s: float, max_age_s: float) -> bool:
    """Fast check that accepts most valid behaviour events; if it fails, the rules decide."""
    time = event.time
    seconds, own, user, scenario, item = time.seconds, event.event_id, event.user_id, event.scenario_id, event.item_id
    return (
        event.type in _PLAIN_TYPES
        and seconds >= EARLIEST_S
        and seconds + 1 <= latest_s
        and now_s - seconds <= max_age_s
        and 0 <= time.nanos < _NANOS_PER_S
        and bool(user and scenario and item)
        and own.isprintable()
        and user.isprintable()
        and scenario.isprintable()
        and item.isprintable()
        and 0 < len(own.encode()) <= MAX_ID_BYTES
        and len(user.encode()) <= MAX_ID_BYTES
        and len(scenario.encode()) <= MAX_ID_BYTES
        and len(item.encode()) <= MAX_ID_BYTES
        and 4 * len(event.text) <= MAX_EVENT_TEXT_BYTES
        and 4 * len(event.attribution_token) <= MAX_TOKEN_BYTES
        and -MAX_NUMBER <= event.value <= MAX_NUMBER  # 0 if not set
    )


def _categories(message: Any, _: RuleContext) -> Violation | None:
    if len(message.categories) > MAX_CATEGORIES:
        return Violation("categories", f"has {len(message.categories)} entries, at most {MAX_CATEGORIES}")
    for index, category in enumerate(message.categories):
        field = f"categories[{index}]"
        fault = find_category_fault(category)
        if fault:
            return Violation(field, fault)
    return None


def find_category_fault(category: str) -> str | None:
    """Why the text is not the name of a category, or None."""
    if not category:
        return "is empty"
    if SEPARATOR in category:  # the key of a category joins the names on its path
        return "holds the separator of keys, U+001F"
    return find_length_fault(category, MAX_FACET_BYTES)


def _attributes(entity: AttributeEntity) -> Check:
    def check(message: Any, limits: RuleContext) -> Violation | None:
        attributes: Mapping[str, float] = message.attributes
        for name in sorted(attributes):
            if name not in {attribute.name for attribute in limits.config.attributes_of(entity)}:
                return Violation(_attribute_path(name), f"is not declared for entity {entity}")
            if not math.isfinite(attributes[name]):
                return Violation(_attribute_path(name), "is not finite")
        return None

    return check


def _attribute_path(name: str) -> str:
    return f"attributes[{json.dumps(name[:_MAX_SHOWN_CHARS], ensure_ascii=False)}]"


RULES: Mapping[str, tuple[Check, ...]] = {
    "behavior_event": (
        _id("event_id"),
        _id("user_id"),
        _id("scenario_id"),
        _event_type,
        _event_item,
        _rule("item_id", find_id_fault),
        _time,
        _event_age,
        _event_value,
        _number("value", -MAX_NUMBER, MAX_NUMBER),
        _event_text,
        _text("text", MAX_EVENT_TEXT_BYTES),
        _text("attribution_token", MAX_TOKEN_BYTES),
    ),
    "item_update": (
        _id("event_id"),
        _id("item_id"),
        _time,
        _text("title", MAX_NAME_BYTES),
        _text("description", MAX_DESCRIPTION_BYTES),
        _categories,
        _text("brand", MAX_FACET_BYTES),
        _number("price", 0.0, MAX_NUMBER),
        _attributes("item"),
    ),
    "item_scenario_update": (
        _id("event_id"),
        _id("item_id"),
        _id("scenario_id"),
        _time,
        _attributes("item_scenario"),
    ),
    "scenario_update": (
        _id("event_id"),
        _id("scenario_id"),
        _time,
        _text("name", MAX_NAME_BYTES),
        _text("description", MAX_DESCRIPTION_BYTES),
    ),
    "item_deletion": (_id("event_id"), _key_part("item_id")),
    "item_scenario_deletion": (_id("event_id"), _key_part("item_id"), _key_part("scenario_id")),
    "scenario_deletion": (_id("event_id"), _stored_id("scenario_id")),
    "user_erasure": (_id("event_id"), _stored_id("user_id"), _time),
}
"""The rules of every kind of entry, in the order in which they are checked."""
