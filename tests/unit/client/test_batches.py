"""Entries get ids and are split into batches before they are sent."""

import pytest

from crossrec.events.v1.events_pb2 import BehaviorEvent, Entry, ItemUpdate, ScenarioUpdate, UserErasure
from services.client.batches import (
    MAX_BYTES,
    MAX_ENTRIES,
    MAX_REQUEST_BYTES,
    check_request,
    ensure_event_id,
    split_batches,
)
from services.client.errors import InvalidArgument


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


def test_an_entry_beyond_the_gateways_limit_is_refused_before_it_is_sent() -> None:
    """GRPC would answer RESOURCE_EXHAUSTED, and the client would send it again."""
    large, larger = (
        Entry(item_update=ItemUpdate(item_id="i", description="x" * size))
        for size in (MAX_REQUEST_BYTES - 200, MAX_REQUEST_BYTES)
    )
    assert [1] == [len(batch) for batch in split_batches([large])]
    with pytest.raises(
        InvalidArgument, match=r"entries: \d+ bytes in one request, the gateway receives at most 8388608"
    ):
        list(split_batches([larger]))


@pytest.mark.parametrize("count", [0, MAX_ENTRIES + 1])
def test_a_request_of_too_few_or_too_many_entries_is_refused_before_it_is_sent(count: int) -> None:
    """The gateway would end a stream, with all that is pending on it."""
    with pytest.raises(InvalidArgument, match=f"entries: has {count} entries, must have 1 to 1000"):
        check_request([Entry()] * count)
    check_request([Entry()] * MAX_ENTRIES)
