"""Entries get ids and are split into batches before they are sent."""

from crossrec.events.v1.events_pb2 import BehaviorEvent, Entry, ItemUpdate, ScenarioUpdate, UserErasure
from services.client.batches import MAX_BYTES, MAX_ENTRIES, ensure_event_id, split_batches


def test_an_entry_gets_an_id_in_place_and_keeps_it() -> None:
    """So that publishing the same object again repeats the id."""
    entry = Entry(behavior_event=BehaviorEvent(user_id="ann"))
    first = ensure_event_id(entry).behavior_event.event_id
    assert first
    assert first == ensure_event_id(entry).behavior_event.event_id == entry.behavior_event.event_id


def test_a_given_id_is_kept() -> None:
    assert "e1" == ensure_event_id(Entry(user_erasure=UserErasure(event_id="e1"))).user_erasure.event_id


def test_an_empty_entry_is_not_changed() -> None:
    """The gateway rejects it with a reason."""
    assert Entry() == ensure_event_id(Entry())


def test_batches_keep_the_order_and_the_limit_of_entries() -> None:
    entries = [Entry(scenario_update=ScenarioUpdate(scenario_id=str(n))) for n in range(2 * MAX_ENTRIES + 1)]
    batches = list(split_batches(entries))
    assert [MAX_ENTRIES, MAX_ENTRIES, 1] == [len(batch) for batch in batches]
    assert entries == [entry for batch in batches for entry in batch]


def test_batches_keep_the_limit_of_bytes() -> None:
    entries = [Entry(item_update=ItemUpdate(item_id="i", description="x" * (MAX_BYTES // 3))) for _ in range(5)]
    assert [2, 2, 1] == [len(batch) for batch in split_batches(entries)]


def test_no_entries_make_no_batch() -> None:
    assert [] == list(split_batches([]))
