"""Transfer: the shares of all source scenarios in all target scenarios, for a user."""

from nicegui import ui

from services.console.catalogue import KnownNames
from services.console.charts import heatmap, heatmap_height
from services.console.context import Session
from services.console.pages.form import describe_names, open_form, request_form
from services.console.pages.parts import card, chart, facts, html, lead, load_at_once, load_on_click, message, slot
from services.console.rank_form import InvalidForm, rank_request
from services.console.tables import TableColumn, table_html
from services.console.transfer import Transfer, transfer_of


async def transfer_page(session: Session) -> None:
    """The page."""
    await open_form(session, _form)


def _form(session: Session, known: KnownNames) -> None:
    session.form.prefill(known, session.context.clock())
    with card("Transfer between scenarios"):
        lead(
            "How much of what is known of the user in source scenario j counts in target scenario i: "
            "one ranking per target scenario. " + describe_names(known, session.context.clock())
        )
        request_form(session.form, known, scenario=False, candidates=False)
        button = ui.button("Show shares").props("no-caps unelevated")
    answer = slot()

    def work() -> Transfer:
        return request_transfer(session, known)

    doing = "Ranking in every scenario"
    load_on_click(button, answer, doing, work, lambda found: show(found, known))
    if session.form.user_id and known.scenarios:
        load_at_once(button, answer, doing, work, lambda found: show(found, known))
        return
    with answer, card("Shares of source scenarios"):
        lead("Nothing is shown yet: choose a user, then Show shares.")


def request_transfer(session: Session, known: KnownNames) -> Transfer:
    """Ask the server once per scenario. Blocks; raises CrossRecError."""
    if not known.scenarios:
        raise InvalidForm("No scenario is known yet")
    items = list(known.items[:1]) or ["any"]  # weights do not depend on the candidates
    form = session.form
    requests = {scenario: rank_request(form, items) for scenario in known.scenarios}
    for scenario, request in requests.items():
        request.scenario_id = scenario
    return transfer_of({scenario: session.context.servers.rank(request) for scenario, request in requests.items()})


def show(found: Transfer, known: KnownNames) -> None:
    """The matrix."""
    for warning in found.warnings:
        message("warning", warning)
    with ui.element("div").classes("grid grid-cols-1 lg:grid-cols-3 gap-4 w-full"):
        with ui.column().classes("lg:col-span-2 gap-4 min-w-0"), card("Shares of source scenarios"):
            lead(
                "M[i,j] over the sum of its row: the part that source j has in the weights of target i. Dark is much. "
                "The report of crossrec evaluate says how stable that is."
            )
            chart(heatmap(found.targets, found.sources, found.shares), heatmap_height(len(found.targets)))
        with ui.column().classes("gap-4 min-w-0"):
            with card("Scenarios"):
                facts([(scenario, known.scenarios.get(scenario, scenario)) for scenario in found.sources])
            if found.extremes:
                with card("Of other scenarios than the target"):
                    facts([("Most, source to target", found.extremes[0]), ("Least", found.extremes[1])])
    with card("The same as a table"):
        columns = [TableColumn("Target i"), *(TableColumn(source, numeric=True) for source in found.sources)]
        rows = [
            [target, *(f"{share:.1%}" for share in row)]
            for target, row in zip(found.targets, found.shares, strict=True)
        ]
        content = table_html("Columns are source scenarios j; a row adds up to 100%", columns, rows)
        html(f'<div class="cr-wide">{content}</div>')
