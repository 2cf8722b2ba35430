"""Rules of entries that need no channel; tests/contract has every rule of the contract through gRPC."""

from google.protobuf.timestamp_pb2 import Timestamp

from crossrec.events.v1.events_pb2 import BehaviorEvent, Entry, ItemUpdate, UserErasure
from services.events.validation import RULES, Violation, stamped, violation
from services.features.config import Attribute, FeatureConfig

NOW_S = 1_800_000_000.25
CONFIG = FeatureConfig(attributes=(Attribute("weight", "item"),))


def judged(entry: Entry) -> Violation | None:
    return violation(entry, CONFIG, NOW_S, future_tolerance_s=300.0)


def test_every_kind_of_entry_has_rules() -> None:
    """A kind added to the contract cannot be forgotten here."""
    kinds = {field.name for field in Entry.DESCRIPTOR.oneofs_by_name["entry"].fields}
    assert kinds == set(RULES)


def test_stamping_fills_only_what_is_missing() -> None:
    """An id and a time that are given stay; missing ones come from the caller's id maker and clock."""
    bare = Entry(user_erasure=UserErasure(user_id="u"))
    full = Entry(user_erasure=UserErasure(user_id="u", event_id="e", time=Timestamp(seconds=5)))

    stamp = Timestamp(seconds=1_800_000_000, nanos=250_000_000)
    assert Entry(user_erasure=UserErasure(user_id="u", event_id="id", time=stamp)) == stamped(bare, NOW_S, lambda: "id")
    assert full == stamped(full, NOW_S, lambda: "id")


def test_stamping_does_not_change_its_argument() -> None:
    """The caller's entry stays as it was."""
    entry = Entry(user_erasure=UserErasure(user_id="u"))
    stamped(entry, NOW_S, lambda: "id")
    assert Entry(user_erasure=UserErasure(user_id="u")) == entry


def test_stamping_leaves_an_entry_without_kind_alone() -> None:
    """There is nothing to stamp; validation rejects it."""
    assert Entry() == stamped(Entry(), NOW_S, lambda: "id")


def test_stamping_drops_fields_that_the_contract_does_not_know() -> None:
    """What no rule has bounded is not stored."""
    unknown = b"\x92\x3f\x03abc"  # field 1010, 3 bytes
    event = BehaviorEvent(event_id="e", user_id="u", time=Timestamp(seconds=5)).SerializeToString() + unknown
    entry = Entry.FromString(b"\x0a" + bytes([len(event)]) + event)
    assert len(unknown) == entry.ByteSize() - stamped(entry, NOW_S, lambda: "id").ByteSize()


def test_an_entry_that_was_not_stamped_is_in_violation() -> None:
    """A consumer that forgets to stamp a foreign record does not fold it without id or time."""
    erasure = UserErasure(user_id="u", event_id="e")
    assert Violation("user_erasure.time", "is not set") == judged(Entry(user_erasure=erasure))
    timed = UserErasure(user_id="u", time=Timestamp(seconds=1_700_000_000))
    assert Violation("user_erasure.event_id", "is empty") == judged(Entry(user_erasure=timed))


def test_a_malformed_timestamp_is_in_violation() -> None:
    """Nanoseconds outside of a second are no time, whatever they would add up to."""
    erasure = UserErasure(user_id="u", event_id="e")
    erasure.time.seconds = 1_700_000_000
    erasure.time.nanos = -1
    found = judged(Entry(user_erasure=erasure))
    assert found is not None
    assert found.field == "user_erasure.time"


def test_the_alphabetically_first_bad_attribute_is_named() -> None:
    """The answer does not depend on the order of a hash map."""
    update = ItemUpdate(item_id="i", event_id="e", time=Timestamp(seconds=1_700_000_000))
    update.attributes.update({"z": 1.0, "a": 1.0, "weight": 1.0})
    expected = Violation('item_update.attributes["a"]', "is not declared for entity item")
    assert expected == judged(Entry(item_update=update))


def test_a_long_attribute_name_is_shortened_in_the_path() -> None:
    """A rejection is never much longer than its entry deserves."""
    update = ItemUpdate(item_id="i", event_id="e", time=Timestamp(seconds=1_700_000_000))
    update.attributes["x" * 10_000] = 1.0
    found = judged(Entry(item_update=update))
    assert found is not None
    assert found.field == 'item_update.attributes["' + "x" * 128 + '"]'
