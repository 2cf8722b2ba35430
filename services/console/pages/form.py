"""The form that pages share: user, scenario, candidates, moment."""

from collections.abc import Callable

from nicegui import ui

from services.console.catalogue import Known
from services.console.choice import MOST_CANDIDATES, PASTED, SOURCES, Choice
from services.console.pages.parts import fill, place
from services.console.ranking_view import named
from services.console.system import Session

Form = Callable[[Session, Known], None]

RECOGNISE = "Let the server recognise it"


async def open_form(session: Session, form: Form) -> None:
    """A page that begins with a form: read the names to choose from, meanwhile say so, and lay the form out."""
    await fill(
        place(),
        "Reading names in the online store",
        session.system.catalogue.current,
        lambda known: form(session, known),
    )


def fields() -> ui.element:
    """Where inputs stand: side by side as far as there is room."""
    return ui.element("div").classes(
        "grid grid-cols-1 sm:grid-cols-2 lg:grid-cols-5 gap-x-4 gap-y-2 w-full items-start"
    )


def text(value: str | None) -> str:
    """What is in an input, which has None when it was cleared."""
    return value or ""


def request_form(choice: Choice, known: Known, *, scenario: bool = True, candidates: bool = True) -> None:
    """Inputs bound to `choice`, with what there is to choose from."""
    with fields():
        user = ui.input("User id", value=choice.user_id, autocomplete=list(known.users)).classes("w-full")
        user.bind_value_to(choice, "user_id", forward=text)
        if scenario:
            names = {"": RECOGNISE, **{name: named(name, known.scenarios) for name in known.scenarios}}
            if choice.scenario_id not in names:
                choice.scenario_id = ""
            select = ui.select(names, value=choice.scenario_id, label="Scenario").classes("w-full")
            select.bind_value_to(choice, "scenario_id")
        if candidates:
            _candidates(choice)
        moment = ui.input("Moment, UTC; empty: now", value=choice.moment).props("clearable").classes("w-full")
        moment.bind_value_to(choice, "moment", forward=text)


def _candidates(choice: Choice) -> None:
    source = ui.select(list(SOURCES), value=choice.source, label="Candidates").classes("w-full")
    source.bind_value_to(choice, "source")
    number = ui.number("How many", value=choice.count, min=1, max=MOST_CANDIDATES, precision=0).classes("w-full")
    number.bind_value_to(choice, "count", forward=lambda value: int(value or 0))
    number.bind_visibility_from(source, "value", backward=lambda value: value != PASTED)
    label = "Item ids, separated by spaces, commas or lines"
    area = ui.textarea(label, value=choice.pasted).props("rows=3 autogrow").classes("w-full")
    area.bind_value_to(choice, "pasted", forward=text)
    area.bind_visibility_from(source, "value", value=PASTED)


def what_is_known(known: Known, now_s: float) -> str:
    """What the form's suggestions rest on, in words."""
    if not known.items and not known.scenarios:
        return "The online store knows no items and no scenarios yet."
    items = f"{len(known.items):,} of its items, a sample" if known.sampled else f"its {len(known.items):,} items"
    said = f"The online store knows {len(known.scenarios)} scenarios; candidates come from {items}."
    if known.is_past(now_s):
        said += " Its newest event is long past, so the moment is set to it."
    return said
