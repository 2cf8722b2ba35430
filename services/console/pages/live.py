"""Live: publish an event, see the user's ranking change."""

from nicegui import ui

from crossrec.events.v1.events_pb2 import EventType
from services.console.catalogue import Known
from services.console.choice import candidates, iso
from services.console.live import (
    KINDS,
    LAST,
    WITH_ITEM,
    WITH_TEXT,
    WITH_VALUE,
    Move,
    Watched,
    change_in_words,
    moves,
    publish_and_watch,
    summary,
)
from services.console.pages.form import fields, open_form, request_form, text, what_is_known
from services.console.pages.parts import card, facts, lead, message, on_press, place, table
from services.console.ranking_view import degraded, named
from services.console.system import Session
from services.console.tables import Cell, Column

READ_ONLY = "This console is read-only: no event can be published. Start it with --publish to allow that."


async def live_page(session: Session) -> None:
    """The page."""
    await open_form(session, _form)


def _form(session: Session, known: Known) -> None:
    session.choice.prefill(known, session.system.clock())
    with card("Publish an event and watch"):
        if not session.system.publish:
            message("info", READ_ONLY)
            return
        lead(
            "The event is stored through the gateway and counts from then on, like any other. "
            + what_is_known(known, session.system.clock())
        )
        request_form(session.choice, known)
        _event(session, known)
        button = ui.button("Publish and watch").props("no-caps unelevated")
    answer = place()
    with answer, card("Before and after"):
        lead("Nothing is published yet.")

    on_press(
        button,
        answer,
        "Publishing, then asking until an answer knows of it",
        lambda: watched(session, known),
        lambda found: show(*found),
    )


def _event(session: Session, known: Known) -> None:
    draft = session.draft
    items = {LAST: "The item ranked last", **{item: known.titles.get(item) or item for item in known.items[:500]}}
    kinds = {kind: kind.replace("_", " ") for kind in KINDS}
    with fields():
        kind = ui.select(kinds, value=draft.kind, label="Event").classes("w-full")
        kind.bind_value_to(draft, "kind")
        item = ui.select(items, value=draft.item_id, label="Item", with_input=True).classes("w-full")
        item.bind_value_to(draft, "item_id", forward=text)
        item.bind_visibility_from(kind, "value", backward=lambda value: value in WITH_ITEM)
        words = ui.input("Text", value=draft.text).classes("w-full")
        words.bind_value_to(draft, "text", forward=text)
        words.bind_visibility_from(kind, "value", backward=lambda value: value in WITH_TEXT)
        value = ui.number("Value: price or rating", value=draft.value).classes("w-full")
        value.bind_value_to(draft, "value")
        value.bind_visibility_from(kind, "value", backward=lambda value: value in WITH_VALUE)


def watched(session: Session, known: Known) -> tuple[Watched, list[Move], str]:
    """Publish and watch; also the moves, and the scenario's name. Blocks; raises CrossRecError."""
    system = session.system
    items = candidates(session.choice, known)
    found = publish_and_watch(system.servers, session.choice, session.draft, items, system.clock)
    titles = system.catalogue.titles(items)
    return found, moves(found.before, found.after, titles), named(found.event.scenario_id, known.scenarios)


def show(found: Watched, moved: list[Move], scenario: str) -> None:
    """What changed."""
    message("info" if found.visible_ms is not None else "warning", summary(found, moved))
    for line in found.after.degraded:
        message("warning", degraded(line))
    with card("Before and after"):
        kind = EventType.Name(found.event.type).removeprefix("EVENT_TYPE_").replace("_", " ").lower()
        published = f"{kind}, {iso(found.event.time.seconds)} UTC"
        facts([("Scenario", scenario), ("Event", published), ("Model", found.after.model_version)])
        columns = [
            Column("Item"),
            Column("Before", numeric=True),
            Column("After", numeric=True),
            Column("Change", numeric=True),
            Column("Score", numeric=True),
        ]
        table("In the order after the event; the change is in places", columns, [_row(move, found) for move in moved])


def _row(move: Move, found: Watched) -> list[Cell | str]:
    mark = "up" if move.change > 0 else "down" if move.change < 0 else ""
    published = ", has the event" if move.item_id == found.event.item_id else ""
    difference = f"{move.score_after - move.score_before:+.4f}"
    change = Cell(change_in_words(move.change), mark=mark)
    return [
        Cell(move.title, f"{move.item_id}{published}"),
        str(move.before),
        str(move.after),
        change,
        Cell(f"{move.score_after:.4f}", difference),
    ]
