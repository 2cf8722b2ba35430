"""Publish and watch, on servers with given answers."""

from dataclasses import dataclass, field

import pytest

from crossrec.events.v1 import events_pb2
from crossrec.ranking.v1 import ranking_pb2 as pb
from services.console.live import (
    EventForm,
    behavior_event,
    format_change,
    publish_and_watch,
    rank_changes,
    summarize_changes,
)
from services.console.rank_form import InvalidForm, RankForm
from tests.unit.console.answers import answer, with_newest_event

THEN_S = 1_500_000_000.0
CHOICE = RankForm(user_id="ann", scenario_id="tv")
BEFORE, AFTER = {"tea": 0.8, "milk": 0.4, "dust": 0.1}, {"dust": 0.9, "tea": 0.7, "milk": 0.4}


@dataclass
class Servers:
    """Answers BEFORE until an event is published, and to the `late` requests after it; then AFTER."""

    late: int = 1
    published: list[events_pb2.BehaviorEvent] = field(default_factory=list)
    requests: list[pb.RankRequest] = field(default_factory=list)

    def rank(self, request: pb.RankRequest) -> pb.RankResponse:
        self.requests.append(request)
        if self.published:
            self.late -= 1
        if self.published and self.late < 0:
            return with_newest_event(answer(AFTER), self.published[-1].time.ToMilliseconds() / 1000)
        return with_newest_event(answer(BEFORE), THEN_S)

    def publish(self, event: events_pb2.BehaviorEvent) -> str:
        self.published.append(event)
        return "made"


def test_rank_is_called_until_its_answer_includes_the_event() -> None:
    """All requests after the first have the event's time, which is later than all known events."""
    servers = Servers(late=1)
    found = publish_and_watch(servers, CHOICE, EventForm("click"), list(BEFORE), clock=lambda: THEN_S)
    assert ["tea", "dust"] == [found.before.items[0].item_id, found.after.items[0].item_id]
    assert found.visible_ms is not None
    assert THEN_S + 1 == found.event.time.seconds
    assert {THEN_S + 1} == {request.request_time.seconds for request in servers.requests[1:]}
    assert 4 == len(servers.requests)


def test_without_an_item_the_last_one_has_the_event() -> None:
    servers = Servers(late=0)
    found = publish_and_watch(servers, CHOICE, EventForm("click"), list(BEFORE), clock=lambda: THEN_S)
    assert ("dust", "ann", "tv") == (found.event.item_id, found.event.user_id, found.event.scenario_id)
    assert events_pb2.EVENT_TYPE_CLICK == found.event.type
    assert [found.event] == servers.published
    assert found.event.event_id


def test_watching_times_out_if_the_event_is_not_folded() -> None:
    found = publish_and_watch(
        Servers(late=10), CHOICE, EventForm("click"), list(BEFORE), clock=lambda: THEN_S, within_s=0.0
    )
    assert found.visible_ms is None
    assert "are the consumers running?" in summarize_changes(found, rank_changes(found.before, found.after, {}))


def test_moves_are_in_the_new_order() -> None:
    found = rank_changes(answer(BEFORE), answer(AFTER), {"dust": "Dust"})
    assert [("Dust", 3, 1, 2), ("tea", 1, 2, -1), ("milk", 2, 3, -1)] == [
        (move.title, move.before, move.after, move.change) for move in found
    ]
    assert ["▲ 2", "▼ 1", "="] == [format_change(change) for change in (2, -1, 0)]


def test_the_summary_has_the_places_of_the_item() -> None:
    servers = Servers(late=0)
    found = publish_and_watch(servers, CHOICE, EventForm("click"), list(BEFORE), clock=lambda: THEN_S)
    summary = summarize_changes(found, rank_changes(found.before, found.after, {}))
    assert "3 of 3 items changed places. dust: 3 before, 1 after." in summary


@pytest.mark.parametrize(
    ("draft", "message"),
    [
        (EventForm("query", text=" "), "Text"),
        (EventForm("comment", "tea"), "Text"),
        (EventForm("rating", "tea"), "Value"),
        (EventForm("click"), "Item"),
    ],
)
def test_a_missing_field_of_an_event_is_named(draft: EventForm, message: str) -> None:
    with pytest.raises(InvalidForm, match=message):
        behavior_event(draft, "ann", "tv", THEN_S)


def test_a_query_has_text_and_no_item_and_a_purchase_its_price() -> None:
    query = behavior_event(EventForm("query", "tea", text="green tea"), "ann", "tv", THEN_S)
    assert ("", "green tea") == (query.item_id, query.text)
    purchase = behavior_event(EventForm("purchase", "tea", value=2.5), "ann", "tv", THEN_S)
    assert ("tea", 2.5) == (purchase.item_id, purchase.value)
    assert not behavior_event(EventForm("impression", "tea", value=2.5), "ann", "tv", THEN_S).HasField("value")
