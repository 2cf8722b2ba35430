"""Publishes an event of a user and compares the rankings before and after it."""

import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from crossrec.events.v1 import events_pb2
from crossrec.ranking.v1 import ranking_pb2 as pb
from services.console.rank_form import InvalidForm, RankForm, parse_moment, rank_request, to_timestamp
from services.features.event_types import EVENT_TYPES, select_event_types

KINDS = EVENT_TYPES
WITH_ITEM = select_event_types(needs_item=True)
WITH_TEXT = select_event_types(needs_text=True)
WITH_VALUE = select_event_types(takes_value=True)
VALUE_REQUIRED = select_event_types(needs_value=True)
LAST = ""
"""Item of an event form: the one that is ranked last."""

WATCH_S = 15.0
"""Longest wait until an answer reflects the event, seconds."""

POLL_S = 0.1
"""Interval between rankings while waiting, seconds."""


class RankingBackend(Protocol):
    """The calls that this module needs; each raises ServerCallFailed."""

    def rank(self, request: pb.RankRequest) -> pb.RankResponse:
        """Rank."""
        ...

    def publish(self, event: events_pb2.BehaviorEvent) -> str:
        """Publish one event; returns its id."""
        ...


@dataclass
class EventForm:
    """The event to publish, as entered.

    Args:
        kind: one of KINDS.
        item_id: the item, or LAST.
        text: of a query or comment.
        value: price of a purchase, or the rating.
    """

    kind: str = "click"
    item_id: str = LAST
    text: str = ""
    value: float | None = None


@dataclass(frozen=True)
class WatchedEvent:
    """A published event, with the rankings before and after it.

    Args:
        event: the published event.
        before: the answer before it, as of the event's time.
        after: the first answer that reflects the event, or the last one that does not.
        visible_ms: from the call of Publish to that answer, milliseconds; None: not visible in time.
    """

    event: events_pb2.BehaviorEvent
    before: pb.RankResponse
    after: pb.RankResponse
    visible_ms: float | None


@dataclass(frozen=True)
class RankChange:
    """Position of an item before and after; positions count from 1, `change` is positive if it rose."""

    item_id: str
    title: str
    before: int
    after: int
    score_before: float
    score_after: float

    @property
    def change(self) -> int:
        """Positions by which it rose."""
        return self.before - self.after


def behavior_event(event_form: EventForm, user_id: str, scenario_id: str, time_s: float) -> events_pb2.BehaviorEvent:
    """The event of a form; InvalidForm if a field that its type needs is missing."""
    event = events_pb2.BehaviorEvent(
        user_id=user_id,
        scenario_id=scenario_id,
        type=f"EVENT_TYPE_{event_form.kind.upper()}",
        time=to_timestamp(time_s),
    )
    if event_form.kind in WITH_ITEM:
        if not event_form.item_id:
            raise InvalidForm("Item: choose one")
        event.item_id = event_form.item_id
    if event_form.kind in WITH_TEXT:
        if not event_form.text.strip():
            raise InvalidForm(f"Text: a {event_form.kind} needs one")
        event.text = event_form.text.strip()
    if event_form.kind in WITH_VALUE and event_form.value is not None:
        event.value = event_form.value
    elif event_form.kind in VALUE_REQUIRED:
        raise InvalidForm(f"Value: a {event_form.kind} needs one")
    return event


def publish_and_watch(
    servers: RankingBackend,
    form: RankForm,
    event_form: EventForm,
    item_ids: Sequence[str],
    clock: Callable[[], float] = time.time,
    within_s: float = WATCH_S,
) -> WatchedEvent:
    """Rank, publish, and rank again until an answer reflects the event. Blocks; raises ServerCallFailed, InvalidForm.

    The event is later than all known events of the user, and all answers are as of its time, so it alone causes the
    differences between them.
    """
    first = servers.rank(rank_request(form, item_ids))
    newest_s = first.freshness.newest_user_event.ToMilliseconds() / 1000
    moment_s = parse_moment(form)
    time_s = max(clock() if moment_s is None else moment_s, newest_s + 1)
    if event_form.item_id == LAST:
        event_form = replace(event_form, item_id=first.items[-1].item_id)
    event = behavior_event(event_form, form.user_id.strip(), first.scenario_id, time_s)
    event.event_id = uuid.uuid4().hex
    request = rank_request(form, item_ids, time_s)
    before = servers.rank(request)
    begun_s = time.perf_counter()
    servers.publish(event)
    while True:
        after = servers.rank(request)
        passed_s = time.perf_counter() - begun_s
        if after.freshness.newest_user_event.ToMilliseconds() >= event.time.ToMilliseconds():
            return WatchedEvent(event, before, after, passed_s * 1000)
        if passed_s > within_s:
            return WatchedEvent(event, before, after, None)
        time.sleep(POLL_S)


def rank_changes(before: pb.RankResponse, after: pb.RankResponse, titles: Mapping[str, str]) -> list[RankChange]:
    """The items of both answers, in the order of the second."""
    was = {item.item_id: (place, item.score) for place, item in enumerate(before.items, start=1)}
    return [
        RankChange(
            item.item_id,
            titles.get(item.item_id) or item.item_id,
            was[item.item_id][0],
            place,
            was[item.item_id][1],
            item.score,
        )
        for place, item in enumerate(after.items, start=1)
        if item.item_id in was
    ]


def summarize_changes(watched: WatchedEvent, found: Sequence[RankChange]) -> str:
    """The outcome in a sentence or two."""
    changed = sum(move.change != 0 for move in found)
    if watched.visible_ms is None:
        return f"Stored, but no answer reflected it within {WATCH_S:g} s: are the consumers running? See Health."
    text = f"Visible in Rank after {watched.visible_ms:,.0f} ms; {changed} of {len(found)} items changed places."
    mine = next((move for move in found if move.item_id == watched.event.item_id), None)
    if mine is None:
        return text
    return f"{text} {mine.title}: {mine.before} before, {mine.after} after."


def format_change(change: int) -> str:
    """An arrow and a number; "=" for none."""
    if change == 0:
        return "="
    return f"▲ {change}" if change > 0 else f"▼ {-change}"
