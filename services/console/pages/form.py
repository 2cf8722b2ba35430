"""The form that pages share: user, scenario, candidates, moment."""

from collections.abc import Callable

from nicegui import ui

from services.console.catalogue import KnownNames
from services.console.context import Session
from services.console.pages.parts import load_into, slot
from services.console.rank_form import MOST_CANDIDATES, PASTED, SOURCES, RankForm
from services.console.ranking_view import scenario_label

Form = Callable[[Session, KnownNames], None]

RECOGNISE = "Let the server recognise it"


async def open_form(session: Session, form: Form) -> None:
    """Read the names that the form suggests, then lay the form out."""
    await load_into(
        slot(),
        "Reading names in the online store",
        session.context.catalogue.current,
        lambda known: form(session, known),
    )


def fields() -> ui.element:
    """A grid for inputs: side by side if there is room."""
    return ui.element("div").classes(
        "grid grid-cols-1 sm:grid-cols-2 lg:grid-cols-5 gap-x-4 gap-y-2 w-full items-start"
    )


def text(value: str | None) -> str:
    """The text of an input; None after it was cleared becomes empty."""
    return value or ""


def request_form(form: RankForm, known: KnownNames, *, scenario: bool = True, candidates: bool = True) -> None:
    """Inputs bound to `form`, with suggestions."""
    with fields():
        user = ui.input("User id", value=form.user_id, autocomplete=list(known.users)).classes("w-full")
        user.bind_value_to(form, "user_id", forward=text)
        if scenario:
            names = {"": RECOGNISE, **{name: scenario_label(name, known.scenarios) for name in known.scenarios}}
            if form.scenario_id not in names:
                form.scenario_id = ""
            select = ui.select(names, value=form.scenario_id, label="Scenario").classes("w-full")
            select.bind_value_to(form, "scenario_id")
        if candidates:
            _candidates(form)
        moment = ui.input("Moment, UTC; empty: now", value=form.moment).props("clearable").classes("w-full")
        moment.bind_value_to(form, "moment", forward=text)


def _candidates(form: RankForm) -> None:
    source = ui.select(list(SOURCES), value=form.source, label="Candidates").classes("w-full")
    source.bind_value_to(form, "source")
    number = ui.number("How many", value=form.count, min=1, max=MOST_CANDIDATES, precision=0).classes("w-full")
    number.bind_value_to(form, "count", forward=lambda value: int(value or 0))
    number.bind_visibility_from(source, "value", backward=lambda value: value != PASTED)
    label = "Item ids, separated by spaces, commas or lines"
    area = ui.textarea(label, value=form.pasted).props("rows=3 autogrow").classes("w-full")
    area.bind_value_to(form, "pasted", forward=text)
    area.bind_visibility_from(source, "value", value=PASTED)


def describe_names(known: KnownNames, now_s: float) -> str:
    """What the form's suggestions come from, as a sentence."""
    if not known.items and not known.scenarios:
        return "The online store knows no items and no scenarios yet."
    items = f"{len(known.items):,} of its items, a sample" if known.sampled else f"its {len(known.items):,} items"
    sentence = f"The online store knows {len(known.scenarios)} scenarios; candidates come from {items}."
    if known.is_past(now_s):
        sentence += " Its newest event is long past, so the moment is set to it."
    return sentence
