"""Publish an event of a user and watch the ranking change: what was where before and after."""

import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from crossrec.events.v1 import events_pb2
from crossrec.ranking.v1 import ranking_pb2 as pb
from services.console.choice import BadChoice, Choice, moment_of, rank_request, stamp
from services.features.event_types import EVENT_TYPES, select_event_types

KINDS = EVENT_TYPES
WITH_ITEM = select_event_types(needs_item=True)
WITH_TEXT = select_event_types(needs_text=True)
WITH_VALUE = select_event_types(takes_value=True)
VALUE_REQUIRED = select_event_types(needs_value=True)
LAST = ""
"""Item of a draft: the one that is ranked last."""

WATCH_S = 15.0
"""Longest wait until an answer knows of the event."""

PAUSE_S = 0.1
"""Between two looks."""


class Asked(Protocol):
    """What this needs of the servers; each raises CallFailed."""

    def rank(self, request: pb.RankRequest) -> pb.RankResponse:
        """Rank."""
        ...

    def publish(self, event: events_pb2.BehaviorEvent) -> str:
        """Publish one event; returns its id."""
        ...


@dataclass
class Draft:
    """The event in the form.

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
class Watched:
    """What became of an event.

    Args:
        event: as it was published.
        before: the answer just before, as of the event's time.
        after: the first answer that knows of the event, or the last one that does not.
        visible_ms: from the call of Publish to that answer, milliseconds; None: it was not visible in time.
    """

    event: events_pb2.BehaviorEvent
    before: pb.RankResponse
    after: pb.RankResponse
    visible_ms: float | None


@dataclass(frozen=True)
class Move:
    """An item before and after; places count from 1, `change` is positive if it rose."""

    item_id: str
    title: str
    before: int
    after: int
    score_before: float
    score_after: float

    @property
    def change(self) -> int:
        """Places that it rose."""
        return self.before - self.after


def behavior_event(draft: Draft, user_id: str, scenario_id: str, time_s: float) -> events_pb2.BehaviorEvent:
    """The event of a form; BadChoice for what its kind needs and is not there."""
    event = events_pb2.BehaviorEvent(
        user_id=user_id, scenario_id=scenario_id, type=f"EVENT_TYPE_{draft.kind.upper()}", time=stamp(time_s)
    )
    if draft.kind in WITH_ITEM:
        if not draft.item_id:
            raise BadChoice("Item: choose one")
        event.item_id = draft.item_id
    if draft.kind in WITH_TEXT:
        if not draft.text.strip():
            raise BadChoice(f"Text: a {draft.kind} needs one")
        event.text = draft.text.strip()
    if draft.kind in WITH_VALUE and draft.value is not None:
        event.value = draft.value
    elif draft.kind in VALUE_REQUIRED:
        raise BadChoice(f"Value: a {draft.kind} needs one")
    return event


def publish_and_watch(
    servers: Asked,
    choice: Choice,
    draft: Draft,
    item_ids: Sequence[str],
    clock: Callable[[], float] = time.time,
    within_s: float = WATCH_S,
) -> Watched:
    """Rank, publish, and rank again until an answer knows of the event. Blocks; raises CallFailed, BadChoice.

    The event happens after all that is known of the user, and all answers are as of its time: what differs between
    them is its doing.
    """
    first = servers.rank(rank_request(choice, item_ids))
    newest_s = first.freshness.newest_user_event.ToMilliseconds() / 1000
    moment_s = moment_of(choice)
    time_s = max(clock() if moment_s is None else moment_s, newest_s + 1)
    if draft.item_id == LAST:
        draft = replace(draft, item_id=first.items[-1].item_id)
    event = behavior_event(draft, choice.user_id.strip(), first.scenario_id, time_s)
    event.event_id = uuid.uuid4().hex
    request = rank_request(choice, item_ids, time_s)
    before = servers.rank(request)
    begun_s = time.perf_counter()
    servers.publish(event)
    while True:
        after = servers.rank(request)
        passed_s = time.perf_counter() - begun_s
        if after.freshness.newest_user_event.ToMilliseconds() >= event.time.ToMilliseconds():
            return Watched(event, before, after, passed_s * 1000)
        if passed_s > within_s:
            return Watched(event, before, after, None)
        time.sleep(PAUSE_S)


def moves(before: pb.RankResponse, after: pb.RankResponse, titles: Mapping[str, str]) -> list[Move]:
    """Each item of both answers, in the order after."""
    was = {item.item_id: (place, item.score) for place, item in enumerate(before.items, start=1)}
    return [
        Move(
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


def summary(watched: Watched, found: Sequence[Move]) -> str:
    """What happened, in a sentence or two."""
    changed = sum(move.change != 0 for move in found)
    if watched.visible_ms is None:
        return f"Stored, but no answer knew of it within {WATCH_S:g} s: are the consumers running? See Health."
    said = f"Visible in Rank after {watched.visible_ms:,.0f} ms; {changed} of {len(found)} items changed places."
    mine = next((move for move in found if move.item_id == watched.event.item_id), None)
    if mine is None:
        return said
    return f"{said} {mine.title}: {mine.before} before, {mine.after} after."


def change_in_words(change: int) -> str:
    """An arrow and a number; "=" for none."""
    if change == 0:
        return "="
    return f"▲ {change}" if change > 0 else f"▼ {-change}"
