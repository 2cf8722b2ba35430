"""Requests of a stream without an answer, and the backoff of its reconnects."""

import grpc
import pytest

from crossrec.events.v1.events_pb2 import Entry, PublishStreamResponse
from services.client.errors import CallFailed, InvalidArgument, ResourceExhausted, ServiceUnavailable
from services.client.pending import MAX_BACKOFF_S, PendingRequests, ReconnectBackoff

UNAVAILABLE_ERROR = ServiceUnavailable(grpc.StatusCode.UNAVAILABLE, "away")


def answer(sequence: int) -> PublishStreamResponse:
    return PublishStreamResponse(sequence=sequence)


def three() -> PendingRequests[str]:
    pending: PendingRequests[str] = PendingRequests(window=10)
    for name in "abc":
        pending.add([Entry()], name)
    return pending


def sequences(pending: PendingRequests[str]) -> list[int]:
    """Sequence numbers in the order in which a new call sends them."""
    found, last = [], 0
    while request := pending.after(last):
        found.append(last := request.sequence)
    return found


def test_requests_are_sent_in_the_order_in_which_they_were_published() -> None:
    assert [1, 2, 3] == sequences(three())


def test_a_new_call_begins_with_the_unanswered_requests() -> None:
    pending = three()
    assert "b" == pending.pop_answered(answer(2))
    assert [1, 3] == sequences(pending)
    assert "a" == pending.pop_answered(answer(1))
    assert [3] == sequences(pending)
    assert pending.after(3) is None


def test_a_repeated_answer_is_ignored() -> None:
    pending = three()
    pending.pop_answered(answer(2))
    assert pending.pop_answered(answer(2)) is None
    assert 2 == len(pending)


def test_there_is_room_up_to_the_window_and_for_any_request_when_none_is_pending() -> None:
    pending: PendingRequests[str] = PendingRequests(window=10)
    assert pending.has_room(11)
    pending.add([Entry()] * 8, "a")
    assert pending.has_room(2)
    assert not pending.has_room(3)
    pending.pop_answered(answer(1))
    assert pending.has_room(11)


def test_pop_all_returns_all_pending_requests() -> None:
    pending = three()
    assert ["a", "b", "c"] == pending.pop_all()
    assert 0 == len(pending)
    assert pending.has_room(11)


def test_pauses_grow_to_a_bound_and_are_reset_by_an_answer() -> None:
    backoff = ReconnectBackoff(30.0, clock_s=lambda: 0.0, chance=lambda: 0.5)
    pauses = [backoff.pause_s(UNAVAILABLE_ERROR) for _ in range(7)]
    assert [0.1, 0.2, 0.4, 0.8, 1.6, MAX_BACKOFF_S, MAX_BACKOFF_S] == pauses
    backoff.reset()
    assert 0.1 == backoff.pause_s(UNAVAILABLE_ERROR)


def test_the_retry_delay_of_a_server_overrides_the_backoff() -> None:
    full = ResourceExhausted(grpc.StatusCode.RESOURCE_EXHAUSTED, "full", retry_after_s=7.5)
    assert 7.5 == ReconnectBackoff(30.0, clock_s=lambda: 0.0).pause_s(full)


def test_retries_stop_after_the_timeout_without_an_answer() -> None:
    now_s = [0.0]
    backoff = ReconnectBackoff(30.0, clock_s=lambda: now_s[0])
    backoff.pause_s(UNAVAILABLE_ERROR)
    now_s[0] = 29.0
    backoff.pause_s(UNAVAILABLE_ERROR)
    now_s[0] = 30.0
    with pytest.raises(ServiceUnavailable, match="away"):
        backoff.pause_s(UNAVAILABLE_ERROR)
    backoff.reset()
    backoff.pause_s(UNAVAILABLE_ERROR)


@pytest.mark.parametrize("kind", [InvalidArgument, CallFailed])
def test_errors_that_are_not_retried_are_raised_at_once(kind: type[CallFailed]) -> None:
    with pytest.raises(kind):
        ReconnectBackoff(30.0).pause_s(kind(grpc.StatusCode.UNKNOWN, "no"))
