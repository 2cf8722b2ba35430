"""Live: publish an event, see the user's ranking change."""

from nicegui import ui

from crossrec.events.v1.events_pb2 import EventType
from services.console.catalogue import KnownNames
from services.console.context import Session
from services.console.live import (
    KINDS,
    LAST,
    WITH_ITEM,
    WITH_TEXT,
    WITH_VALUE,
    RankChange,
    WatchedEvent,
    format_change,
    publish_and_watch,
    rank_changes,
    summarize_changes,
)
from services.console.pages.form import describe_names, fields, open_form, request_form, text
from services.console.pages.parts import card, facts, lead, load_at_once, load_on_click, message, slot, table
from services.console.pages.rank import items_table, request_ranking
from services.console.rank_form import format_time, is_complete, select_candidates
from services.console.ranking_view import RankingView, describe_degradation, scenario_label
from services.console.tables import TableCell, TableColumn

READ_ONLY = "This console is read-only: no event can be published. Start it with --publish to allow that."


async def live_page(session: Session) -> None:
    """The page."""
    await open_form(session, _form)


def _form(session: Session, known: KnownNames) -> None:
    session.form.prefill(known, session.context.clock())
    with card("Publish an event and watch"):
        if not session.context.publish:
            message("info", READ_ONLY)
            return
        lead(
            "The event is stored through the gateway and counts from then on, like any other. "
            + describe_names(known, session.context.clock())
        )
        request_form(session.form, known)
        _event(session, known)
        button = ui.button("Publish and watch").props("no-caps unelevated")
    answer = slot()
    load_on_click(
        button,
        answer,
        "Publishing, then asking until an answer knows of it",
        lambda: publish_and_compare(session, known),
        lambda found: show(*found),
    )
    if is_complete(session.form, known):
        load_at_once(button, answer, "Ranking", lambda: request_ranking(session, known), show_before)
        return
    with answer, card("Before and after"):
        lead("Nothing is published yet.")


def _event(session: Session, known: KnownNames) -> None:
    event_form = session.event_form
    items = {LAST: "The item ranked last", **{item: known.titles.get(item) or item for item in known.items[:500]}}
    kinds = {kind: kind.replace("_", " ") for kind in KINDS}
    with fields():
        kind = ui.select(kinds, value=event_form.kind, label="Event").classes("w-full")
        kind.bind_value_to(event_form, "kind")
        item = ui.select(items, value=event_form.item_id, label="Item", with_input=True).classes("w-full")
        item.bind_value_to(event_form, "item_id", forward=text)
        item.bind_visibility_from(kind, "value", backward=lambda value: value in WITH_ITEM)
        words = ui.input("Text", value=event_form.text).classes("w-full")
        words.bind_value_to(event_form, "text", forward=text)
        words.bind_visibility_from(kind, "value", backward=lambda value: value in WITH_TEXT)
        value = ui.number("Value: price or rating", value=event_form.value).classes("w-full")
        value.bind_value_to(event_form, "value")
        value.bind_visibility_from(kind, "value", backward=lambda value: value in WITH_VALUE)


def publish_and_compare(session: Session, known: KnownNames) -> tuple[WatchedEvent, list[RankChange], str]:
    """Publish and watch; also the moves, and the scenario's name. Blocks; raises CrossRecError."""
    context = session.context
    items = select_candidates(session.form, known)
    found = publish_and_watch(context.servers, session.form, session.event_form, items, context.clock)
    titles = context.catalogue.titles(items)
    return (
        found,
        rank_changes(found.before, found.after, titles),
        scenario_label(found.event.scenario_id, known.scenarios),
    )


def show_before(view: RankingView) -> None:
    """The ranking as it is before anything is published."""
    for warning in view.warnings:
        message("warning", warning)
    with card("Before the event"):
        lead("This is the ranking now: publish an event to see what it changes.")
        items_table(view)


def show(found: WatchedEvent, moved: list[RankChange], scenario: str) -> None:
    """What changed."""
    message("info" if found.visible_ms is not None else "warning", summarize_changes(found, moved))
    for line in found.after.degraded:
        message("warning", describe_degradation(line))
    with card("Before and after"):
        kind = EventType.Name(found.event.type).removeprefix("EVENT_TYPE_").replace("_", " ").lower()
        published = f"{kind}, {format_time(found.event.time.seconds)} UTC"
        facts([("Scenario", scenario), ("Event", published), ("Model", found.after.model_version)])
        columns = [
            TableColumn("Item"),
            TableColumn("Before", numeric=True),
            TableColumn("After", numeric=True),
            TableColumn("Change", numeric=True),
            TableColumn("Score", numeric=True),
        ]
        table("In the order after the event; the change is in places", columns, [_row(move, found) for move in moved])


def _row(move: RankChange, found: WatchedEvent) -> list[TableCell | str]:
    mark = "up" if move.change > 0 else "down" if move.change < 0 else ""
    published = ", has the event" if move.item_id == found.event.item_id else ""
    difference = f"{move.score_after - move.score_before:+.4f}"
    change = TableCell(format_change(move.change), mark=mark)
    return [
        TableCell(move.title, f"{move.item_id}{published}"),
        str(move.before),
        str(move.after),
        change,
        TableCell(f"{move.score_after:.4f}", difference),
    ]
