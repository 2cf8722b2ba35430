"""What a stream remembers of what it sent, and how long it tries again."""

import grpc
import pytest

from crossrec.events.v1.events_pb2 import Entry, PublishStreamResponse
from services.client.errors import CallFailed, InvalidRequest, Overloaded, Unavailable
from services.client.unanswered import LONGEST_PAUSE_S, Patience, Unanswered

AWAY = Unavailable(grpc.StatusCode.UNAVAILABLE, "away")


def answer(sequence: int) -> PublishStreamResponse:
    return PublishStreamResponse(sequence=sequence)


def three() -> Unanswered[str]:
    unanswered: Unanswered[str] = Unanswered(window=10)
    for name in "abc":
        unanswered.add([Entry()], name)
    return unanswered


def sequences(unanswered: Unanswered[str]) -> list[int]:
    """As a call that begins now sends them."""
    found, last = [], 0
    while request := unanswered.after(last):
        found.append(last := request.sequence)
    return found


def test_requests_are_sent_in_the_order_in_which_they_were_published() -> None:
    assert [1, 2, 3] == sequences(three())


def test_a_new_call_begins_with_what_has_no_answer() -> None:
    unanswered = three()
    assert "b" == unanswered.answered(answer(2))
    assert [1, 3] == sequences(unanswered)
    assert "a" == unanswered.answered(answer(1))
    assert [3] == sequences(unanswered)
    assert unanswered.after(3) is None


def test_a_second_answer_concerns_nobody() -> None:
    unanswered = three()
    unanswered.answered(answer(2))
    assert unanswered.answered(answer(2)) is None
    assert 2 == len(unanswered)


def test_there_is_room_up_to_the_window_and_for_anything_when_nothing_waits() -> None:
    unanswered: Unanswered[str] = Unanswered(window=10)
    assert unanswered.has_room(11)
    unanswered.add([Entry()] * 8, "a")
    assert unanswered.has_room(2)
    assert not unanswered.has_room(3)
    unanswered.answered(answer(1))
    assert unanswered.has_room(11)


def test_giving_up_names_all_who_wait() -> None:
    unanswered = three()
    assert ["a", "b", "c"] == unanswered.give_up()
    assert 0 == len(unanswered)
    assert unanswered.has_room(11)


def test_pauses_grow_to_a_bound_and_shrink_with_an_answer() -> None:
    patience = Patience(30.0, clock_s=lambda: 0.0, chance=lambda: 0.5)
    pauses = [patience.pause_s(AWAY) for _ in range(7)]
    assert [0.1, 0.2, 0.4, 0.8, 1.6, LONGEST_PAUSE_S, LONGEST_PAUSE_S] == pauses
    patience.restore()
    assert 0.1 == patience.pause_s(AWAY)


def test_the_delay_that_a_server_names_comes_before_the_own() -> None:
    full = Overloaded(grpc.StatusCode.RESOURCE_EXHAUSTED, "full", retry_after_s=7.5)
    assert 7.5 == Patience(30.0, clock_s=lambda: 0.0).pause_s(full)


def test_patience_ends_after_its_time_without_an_answer() -> None:
    now_s = [0.0]
    patience = Patience(30.0, clock_s=lambda: now_s[0])
    patience.pause_s(AWAY)
    now_s[0] = 29.0
    patience.pause_s(AWAY)
    now_s[0] = 30.0
    with pytest.raises(Unavailable, match="away"):
        patience.pause_s(AWAY)
    patience.restore()
    patience.pause_s(AWAY)


@pytest.mark.parametrize("kind", [InvalidRequest, CallFailed])
def test_what_trying_again_cannot_help_is_raised_at_once(kind: type[CallFailed]) -> None:
    with pytest.raises(kind):
        Patience(30.0).pause_s(kind(grpc.StatusCode.UNKNOWN, "no"))
