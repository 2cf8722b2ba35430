"""Validation of entries by the rules of the events contract; events.proto documents them.

Pure: the clock and the declared attributes are arguments. Rules are checked in the order of the table, and the first
broken one is returned.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp

from crossrec.events.v1.events_pb2 import Entry
from services.events import checks
from services.events.checks import (
    EARLIEST_S,
    MAX_EVENT_TEXT_BYTES,
    MAX_NUMBER,
    MAX_TOKEN_BYTES,
    NANOS_PER_S,
    Check,
    RuleContext,
    Violation,
)
from services.events.routing import DELETIONS
from services.features.config import FeatureConfig
from services.features.event_types import EVENT_TYPE_OF_NUMBER
from services.features.ids import MAX_ID_BYTES, find_id_fault

_PLAIN_TYPES = frozenset(
    number
    for number, event_type in EVENT_TYPE_OF_NUMBER.items()
    if event_type.needs_item and not event_type.needs_text and not event_type.needs_value
)
"""Numbers of types that need an item, and neither text nor value."""


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


def _passes_fast_check(event: Any, now_s: float, latest_s: float, max_age_s: float) -> bool:
    """Fast check that accepts most valid behaviour events; if it fails, the rules decide."""
    time = event.time
    seconds, own, user, scenario, item = time.seconds, event.event_id, event.user_id, event.scenario_id, event.item_id
    return (
        event.type in _PLAIN_TYPES
        and seconds >= EARLIEST_S
        and seconds + 1 <= latest_s
        and now_s - seconds <= max_age_s
        and 0 <= time.nanos < NANOS_PER_S
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


RULES: Mapping[str, tuple[Check, ...]] = {
    "behavior_event": (
        checks.valid_id("event_id"),
        checks.valid_id("user_id"),
        checks.valid_id("scenario_id"),
        checks.event_type,
        checks.event_item,
        checks.field("item_id", find_id_fault),
        checks.time,
        checks.event_age,
        checks.event_value,
        checks.number("value", -MAX_NUMBER, MAX_NUMBER),
        checks.event_text,
        checks.text("text", MAX_EVENT_TEXT_BYTES),
        checks.text("attribution_token", MAX_TOKEN_BYTES),
    ),
    "item_update": (
        checks.valid_id("event_id"),
        checks.valid_id("item_id"),
        checks.time,
        checks.text("title", checks.MAX_NAME_BYTES),
        checks.text("description", checks.MAX_DESCRIPTION_BYTES),
        checks.categories,
        checks.text("brand", checks.MAX_FACET_BYTES),
        checks.number("price", 0.0, MAX_NUMBER),
        checks.attributes("item"),
    ),
    "user_update": (
        checks.valid_id("event_id"),
        checks.valid_id("user_id"),
        checks.time,
        checks.attributes("user"),
    ),
    "item_scenario_update": (
        checks.valid_id("event_id"),
        checks.valid_id("item_id"),
        checks.valid_id("scenario_id"),
        checks.time,
        checks.attributes("item_scenario"),
    ),
    "scenario_update": (
        checks.valid_id("event_id"),
        checks.valid_id("scenario_id"),
        checks.time,
        checks.text("name", checks.MAX_NAME_BYTES),
        checks.text("description", checks.MAX_DESCRIPTION_BYTES),
    ),
    "item_deletion": (checks.valid_id("event_id"), checks.key_part("item_id")),
    "item_scenario_deletion": (checks.valid_id("event_id"), checks.key_part("item_id"), checks.key_part("scenario_id")),
    "scenario_deletion": (checks.valid_id("event_id"), checks.stored_id("scenario_id")),
    "user_erasure": (checks.valid_id("event_id"), checks.stored_id("user_id"), checks.time),
}
"""The rules of every kind of entry, in the order in which they are checked."""
