"""The form that pages share: user, scenario, candidates, moment."""

from nicegui import ui

from services.console.catalogue import Known
from services.console.choice import MOST_CANDIDATES, PASTED, SOURCES, Choice
from services.console.ranking_view import named

RECOGNISE = "Let the server recognise it"


def request_form(choice: Choice, known: Known, *, scenario: bool = True, candidates: bool = True) -> None:
    """Inputs bound to `choice`, with what there is to choose from."""
    with ui.element("div").classes("grid grid-cols-1 sm:grid-cols-2 lg:grid-cols-4 gap-x-4 gap-y-2 w-full items-start"):
        ui.input("User id", autocomplete=list(known.users)).bind_value(choice, "user_id").classes("w-full")
        if scenario:
            names = {"": RECOGNISE, **{name: named(name, known.scenarios) for name in known.scenarios}}
            if choice.scenario_id not in names:
                choice.scenario_id = ""
            ui.select(names, label="Scenario").bind_value(choice, "scenario_id").classes("w-full")
        if candidates:
            _candidates(choice)
        moment = ui.input("Moment, UTC; empty: now").bind_value(choice, "moment").classes("w-full")
        moment.props("clearable")


def _candidates(choice: Choice) -> None:
    pasted = {"target_object": choice, "target_name": "source"}
    ui.select(list(SOURCES), label="Candidates").bind_value(choice, "source").classes("w-full")
    number = ui.number("How many", min=1, max=MOST_CANDIDATES, step=1, precision=0).classes("w-full")
    number.bind_value(choice, "count", forward=lambda value: int(value or 0))
    number.bind_visibility_from(**pasted, backward=lambda source: source != PASTED)
    area = ui.textarea("Item ids, separated by spaces, commas or lines").bind_value(choice, "pasted").classes("w-full")
    area.props("rows=3 autogrow").bind_visibility_from(**pasted, value=PASTED)


def what_is_known(known: Known, now_s: float) -> str:
    """What the form's suggestions rest on, in words."""
    if not known.items and not known.scenarios:
        return "The online store knows no items and no scenarios yet."
    more = "a sample of the catalogue's" if known.sampled else "the"
    items = f"candidates come from {more} {len(known.items):,} items"
    said = f"The online store knows {len(known.scenarios)} scenarios; {items}."
    if known.is_past(now_s):
        said += " Its newest event is long past, so the moment is set to it."
    return said
