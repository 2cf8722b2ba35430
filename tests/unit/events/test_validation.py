"""Validation rules of entries without gRPC; tests/contract checks every rule of the contract through gRPC."""

import math
import random

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from crossrec.events.v1.events_pb2 import BehaviorEvent, Entry, EventType, ItemUpdate, UserErasure
from services.events.checks import RuleContext, Violation
from services.events.validation import RULES, find_violation, stamp_entry
from services.features.config import DAY_S, Attribute, FeatureConfig

NOW_S = 1_800_000_000.25
CONFIG = FeatureConfig(attributes=(Attribute("weight", "item"),))


def first_violation(entry: Entry) -> Violation | None:
    return find_violation(entry, CONFIG, NOW_S, future_tolerance_s=300.0)


def test_every_kind_of_entry_has_rules() -> None:
    """A kind added to the contract without rules fails here."""
    kinds = {field.name for field in Entry.DESCRIPTOR.oneofs_by_name["entry"].fields}
    assert kinds == set(RULES)


def test_stamping_fills_only_what_is_missing() -> None:
    """An id and a time that are given stay; missing ones come from the caller's id maker and clock."""
    bare = Entry(user_erasure=UserErasure(user_id="u"))
    full = Entry(user_erasure=UserErasure(user_id="u", event_id="e", time=Timestamp(seconds=5)))

    stamp = Timestamp(seconds=1_800_000_000, nanos=250_000_000)
    assert Entry(user_erasure=UserErasure(user_id="u", event_id="id", time=stamp)) == stamp_entry(
        bare, NOW_S, lambda: "id"
    )
    assert full == stamp_entry(full, NOW_S, lambda: "id")


def test_stamping_does_not_change_its_argument() -> None:
    """The caller's entry is unchanged."""
    entry = Entry(user_erasure=UserErasure(user_id="u"))
    stamp_entry(entry, NOW_S, lambda: "id")
    assert Entry(user_erasure=UserErasure(user_id="u")) == entry


def test_stamping_leaves_an_entry_without_kind_alone() -> None:
    """It has no field to stamp; validation rejects it."""
    assert Entry() == stamp_entry(Entry(), NOW_S, lambda: "id")


def test_stamping_drops_fields_unknown_to_the_contract() -> None:
    """Fields without a rule are not stored."""
    unknown = b"\x92\x3f\x03abc"  # field 1010, 3 bytes
    event = BehaviorEvent(event_id="e", user_id="u", time=Timestamp(seconds=5)).SerializeToString() + unknown
    entry = Entry.FromString(b"\x0a" + bytes([len(event)]) + event)
    assert len(unknown) == entry.ByteSize() - stamp_entry(entry, NOW_S, lambda: "id").ByteSize()


def test_an_entry_that_was_not_stamped_is_in_violation() -> None:
    """A consumer that forgets to stamp a foreign record does not fold it without id or time."""
    erasure = UserErasure(user_id="u", event_id="e")
    assert Violation("user_erasure.time", "is not set") == first_violation(Entry(user_erasure=erasure))
    timed = UserErasure(user_id="u", time=Timestamp(seconds=1_700_000_000))
    assert Violation("user_erasure.event_id", "is empty") == first_violation(Entry(user_erasure=timed))


def test_a_malformed_timestamp_is_in_violation() -> None:
    """Nanoseconds outside of a second are invalid, even if the sum would be a valid time."""
    erasure = UserErasure(user_id="u", event_id="e")
    erasure.time.seconds = 1_700_000_000
    erasure.time.nanos = -1
    found = first_violation(Entry(user_erasure=erasure))
    assert found is not None
    assert found.field == "user_erasure.time"


@pytest.mark.parametrize(("days", "ahead_s"), [(1e9, 300.0), (30.0, 0.0)])
def test_the_fast_check_agrees_with_the_rules(days: float, ahead_s: float) -> None:
    """Events with values at and around every bound, several at once: the result equals that of the rules one by one."""
    chance, limits = random.Random(1), RuleContext(CONFIG, NOW_S + ahead_s, NOW_S, days * DAY_S)
    words = (
        "",
        "i",
        "é",
        "a\u00a0b",
        "\u202eb",
        "a\n",
        "x" * 128,
        "x" * 129,
        "й" * 32,
        "й" * 64,
        "й" * 65,
        "x" * 512,
        "й" * 257,
        "x" * 4096,
        "й" * 2049,
    )
    times = (0, 315_532_799, 315_532_800, 1_800_000_000, 1_800_000_300, 1_800_000_301, 1_800_000_000 - 30 * 86_400)
    values = (None, 0.0, 1e9, -1e9, 1.1e9, math.nan, math.inf)
    seen = {True: 0, False: 0}
    for _ in range(20_000):
        names = chance.choices(("event_id", "user_id", "scenario_id", "item_id", "text", "attribution_token"), k=2)
        fields = {"event_id": "e", "user_id": "u", "scenario_id": "s", "item_id": "i"}
        event = BehaviorEvent(**fields | {name: chance.choice(words) for name in names})
        event.type = chance.choice([1, 2, 2, 2, 3, 0, *EventType.values(), 99])
        event.time.seconds, event.time.nanos = chance.choice(times[3:] + times), chance.choice((0, 0, 250_000_000, -1))
        if (value := chance.choice(values[:3] + values)) is not None:
            event.value = value
        broken = next(filter(None, (check(event, limits) for check in RULES["behavior_event"])), None)
        expected = broken and Violation(f"behavior_event.{broken.field}", broken.reason)
        assert expected == find_violation(Entry(behavior_event=event), CONFIG, NOW_S, ahead_s, days * DAY_S)
        seen[broken is None] += 1
    assert min(seen.values()) > 300


def test_the_alphabetically_first_bad_attribute_is_named() -> None:
    """The result does not depend on the order of a hash map."""
    update = ItemUpdate(item_id="i", event_id="e", time=Timestamp(seconds=1_700_000_000))
    update.attributes.update({"z": 1.0, "a": 1.0, "weight": 1.0})
    expected = Violation('item_update.attributes["a"]', "is not declared for entity item; declared are: weight")
    assert expected == first_violation(Entry(item_update=update))


def test_a_long_attribute_name_is_shortened_in_the_path() -> None:
    """The reason of a rejection is bounded in length."""
    update = ItemUpdate(item_id="i", event_id="e", time=Timestamp(seconds=1_700_000_000))
    update.attributes["x" * 10_000] = 1.0
    found = first_violation(Entry(item_update=update))
    assert found is not None
    assert found.field == 'item_update.attributes["' + "x" * 128 + '"]'
