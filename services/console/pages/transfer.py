"""Transfer: the whole matrix M[i,j] for a user."""

from nicegui import ui

from services.console.catalogue import Known
from services.console.charts import heatmap, heatmap_height
from services.console.choice import BadChoice, rank_request
from services.console.pages.form import open_form, request_form, what_is_known
from services.console.pages.parts import card, chart, facts, html, lead, message, on_press, place
from services.console.system import Session
from services.console.tables import Column, table_html
from services.console.transfer import Transfer, transfer_of


async def transfer_page(session: Session) -> None:
    """The page."""
    await open_form(session, _form)


def _form(session: Session, known: Known) -> None:
    session.choice.prefill(known, session.system.clock())
    with card("Transfer between scenarios"):
        lead(
            "How much of what is known of the user in source scenario j counts in target scenario i: "
            "one ranking per target scenario. " + what_is_known(known, session.system.clock())
        )
        request_form(session.choice, known, scenario=False, candidates=False)
        button = ui.button("Show weights").props("no-caps unelevated")
    answer = place()
    with answer, card("Transfer weights"):
        lead("Nothing is shown yet: choose a user, then Show weights.")

    on_press(
        button, answer, "Ranking in every scenario", lambda: weights(session, known), lambda found: show(found, known)
    )


def weights(session: Session, known: Known) -> Transfer:
    """Ask the server once per scenario. Blocks; raises CrossRecError."""
    if not known.scenarios:
        raise BadChoice("No scenario is known yet")
    items = list(known.items[:1]) or ["any"]  # weights do not depend on the candidates
    choice = session.choice
    requests = {scenario: rank_request(choice, items) for scenario in known.scenarios}
    for scenario, request in requests.items():
        request.scenario_id = scenario
    return transfer_of({scenario: session.system.servers.rank(request) for scenario, request in requests.items()})


def show(found: Transfer, known: Known) -> None:
    """The matrix."""
    for warning in found.warnings:
        message("warning", warning)
    with ui.element("div").classes("grid grid-cols-1 lg:grid-cols-3 gap-4 w-full"):
        with ui.column().classes("lg:col-span-2 gap-4 min-w-0"), card("Transfer weights M[i,j]"):
            lead("0: counts nothing, 1: counts fully. Dark is much.")
            chart(heatmap(found.targets, found.sources, found.matrix), heatmap_height(len(found.targets)))
        with ui.column().classes("gap-4 min-w-0"):
            with card("Scenarios"):
                facts([(scenario, known.scenarios.get(scenario, scenario)) for scenario in found.sources])
            if found.extremes:
                with card("Between different scenarios"):
                    facts([("Most, source to target", found.extremes[0]), ("Least", found.extremes[1])])
    with card("The same as a table"):
        columns = [Column("Target i"), *(Column(source, numeric=True) for source in found.sources)]
        rows = [
            [target, *(f"{weight:.3f}" for weight in row)]
            for target, row in zip(found.targets, found.matrix, strict=True)
        ]
        html(f'<div class="cr-wide">{table_html("Columns are source scenarios j", columns, rows)}</div>')
