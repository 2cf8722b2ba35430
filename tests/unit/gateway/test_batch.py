"""Pseudonyms in stored entries, with an intake and a publisher in memory."""

from dataclasses import replace

from crossrec.events.v1.events_pb2 import BehaviorEvent, Entry, EntryResult, ItemUpdate, UserErasure, UserUpdate
from services.gateway.intake import Intake
from services.gateway.pressure import PendingBudget
from services.kafka.publisher import MemoryPublisher
from services.server.security.caller import EVERY_SCOPE
from services.server.security.pseudonyms import Pseudonymizer
from tests.contract.event_gateway import INTAKE_CONFIG, NOW_S

NAMES = Pseudonymizer((b"k" * 32, b"o" * 32))
CLICK = Entry(behavior_event=BehaviorEvent(user_id="ann", scenario_id="s", item_id="i", type="EVENT_TYPE_CLICK"))
ERASURE = Entry(user_erasure=UserErasure(user_id="ann"))
PROFILE = Entry(user_update=UserUpdate(user_id="ann"))
ITEM = Entry(item_update=ItemUpdate(item_id="ann"))


def publish(entries: list[Entry], publisher: MemoryPublisher, names: Pseudonymizer = NAMES) -> list[EntryResult]:
    """The results of a batch."""
    budget = PendingBudget(1 << 20, 100)
    intake = Intake(
        publisher, replace(INTAKE_CONFIG, pseudonyms=names), budget, now_s=lambda: NOW_S, make_id=lambda: "made"
    )
    results = intake.submit(intake.validate(entries, EVERY_SCOPE), 1.0).answer()
    assert budget.take(1 << 20, 100, 0.0), "nothing is pending any more"
    return results


def test_events_are_stored_under_the_pseudonym() -> None:
    """In value, key and partition; the caller's entry is not changed."""
    publisher = MemoryPublisher()
    (result,) = publish([CLICK], publisher)
    (record,) = publisher.stored
    pseudonym = NAMES.pseudonymize("ann")
    assert pseudonym == Entry.FromString(record.value).behavior_event.user_id
    assert (pseudonym.encode(), pseudonym.encode()) == (record.key, record.partition_key)
    assert ("ann", "made") == (CLICK.behavior_event.user_id, result.accepted.event_id)


def test_attributes_are_stored_under_the_pseudonym_of_the_events() -> None:
    """In the same partition, so that the user's row has one writer."""
    publisher = MemoryPublisher()
    publish([CLICK, PROFILE], publisher)
    click, profile = publisher.stored
    assert (click.topic, click.key, click.partition_key) == (profile.topic, profile.key, profile.partition_key)
    assert NAMES.pseudonymize("ann") == Entry.FromString(profile.value or b"").user_update.user_id


def test_an_erasure_is_stored_under_every_key() -> None:
    """With one result for all of them; the results of other entries keep their order."""
    publisher = MemoryPublisher()
    results = publish([CLICK, ERASURE, ITEM], publisher)
    assert ["accepted"] * 3 == [result.WhichOneof("result") for result in results]
    stored = [Entry.FromString(record.value) for record in publisher.stored]
    erased = [entry.user_erasure.user_id for entry in stored if entry.HasField("user_erasure")]
    assert list(NAMES.all_pseudonyms("ann")) == erased
    assert ["behavior_event", "user_erasure", "user_erasure", "item_update"] == [e.WhichOneof("entry") for e in stored]


def test_a_partly_stored_erasure_is_not_confirmed() -> None:
    """So that the client sends it again; entries before and after it have their own outcomes."""
    for failing in (1, 2):
        results = publish([CLICK, ERASURE, ITEM], MemoryPublisher({failing: TimeoutError("late")}))
        assert ["accepted", "unconfirmed", "accepted"] == [result.WhichOneof("result") for result in results]


def test_a_rejected_entry_is_reported_as_it_was_sent() -> None:
    """Limits apply to the length of the id, not of its pseudonym."""
    publisher = MemoryPublisher()
    results = publish(
        [Entry(user_erasure=UserErasure(user_id="x" * 65_537)), Entry(user_erasure=UserErasure())], publisher
    )
    assert ["is 65537 bytes long, at most 65536", "is empty"] == [result.rejected.reason for result in results]
    assert [] == publisher.stored


def test_without_a_key_ids_are_unchanged() -> None:
    publisher = MemoryPublisher()
    publish([CLICK, ERASURE], publisher, Pseudonymizer())
    assert [b"ann", b"ann"] == [record.key for record in publisher.stored]
