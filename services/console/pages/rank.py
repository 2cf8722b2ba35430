"""Rank: one user's ranking, split into what each source scenario contributes."""

import time

from nicegui import ui

from services.console.catalogue import KnownNames
from services.console.charts import MOST_BARS, bars_height, colour, contributions_chart
from services.console.context import Session
from services.console.pages.form import describe_names, open_form, request_form
from services.console.pages.parts import card, chart, facts, lead, load_at_once, load_on_click, message, slot, table
from services.console.rank_form import is_complete, rank_request, select_candidates
from services.console.ranking_view import RankedLine, RankingView, ranking_view
from services.console.tables import Rows, TableCell, TableColumn


async def rank_page(session: Session) -> None:
    """The page."""
    await open_form(session, _form)


def _form(session: Session, known: KnownNames) -> None:
    session.form.prefill(known, session.context.clock())
    with card("Rank for a user"):
        lead(describe_names(known, session.context.clock()))
        request_form(session.form, known)
        button = ui.button("Rank").props("no-caps unelevated")
    answer = slot()

    def work() -> RankingView:
        return request_ranking(session, known)

    load_on_click(button, answer, "Ranking", work, show)
    if is_complete(session.form, known):
        load_at_once(button, answer, "Ranking", work, show)
        return
    with answer, card("Ranking"):
        lead("Nothing is ranked yet: choose a user and candidates, then Rank.")


def request_ranking(session: Session, known: KnownNames) -> RankingView:
    """Ask the server. Blocks; raises CrossRecError."""
    context = session.context
    items = select_candidates(session.form, known)
    request = rank_request(session.form, items)
    begun_s = time.perf_counter()
    answer = context.servers.rank(request)
    took_ms = (time.perf_counter() - begun_s) * 1000
    return ranking_view(answer, context.catalogue.titles(items), known.scenarios, took_ms)


def show(view: RankingView) -> None:
    """The answer."""
    for warning in view.warnings:
        message("warning", warning)
    with ui.element("div").classes("grid grid-cols-1 lg:grid-cols-3 gap-4 w-full"):
        with ui.column().classes("lg:col-span-2 gap-4 min-w-0"):
            _contributions(view)
        with ui.column().classes("gap-4 min-w-0"):
            _weights(view)
            with card("About this answer"):
                facts(view.facts)
            if view.posterior:
                _posterior(view)
    with card("Ranked items"):
        items_table(view)


def _contributions(view: RankingView) -> None:
    with card("What each source scenario contributes"):
        if not view.sources or not view.lines:
            lead("The answer explains nothing: no scenario is known.")
            return
        first = f"the first {MOST_BARS} of {len(view.lines):,} items" if len(view.lines) > MOST_BARS else "every item"
        lead(f"Score of {first}; the colours are those of the transfer weights. Point at a bar for its values.")
        chart(contributions_chart(view.lines, view.sources), bars_height(len(view.lines)))


def _weights(view: RankingView) -> None:
    with card("Transfer weights"):
        if not view.sources:
            lead("There are none: no scenario is known.")
            return
        rows: Rows = [
            [
                TableCell(s.name, s.scenario_id if s.name != s.scenario_id else "", s.share, colour(n)),
                f"{s.share:.1%}",
                f"{s.weight:.3f}",
            ]
            for n, s in enumerate(view.sources)
        ]
        table(
            "How much preference in each source scenario counts here; compare shares between answers, not weights",
            [TableColumn("Source scenario"), TableColumn("Share", numeric=True), TableColumn("M[i,j]", numeric=True)],
            rows,
        )


def _posterior(view: RankingView) -> None:
    with card("Recognised scenario"):
        rows: Rows = [
            [TableCell(name, share=probability), f"{probability:.1%}"] for name, probability in view.posterior
        ]
        table(
            "How probable each target scenario is",
            [TableColumn("Scenario"), TableColumn("Probability", numeric=True)],
            rows,
        )


def items_table(view: RankingView) -> None:
    """The ranked items."""
    columns = [
        TableColumn("Place", numeric=True),
        TableColumn("Item"),
        TableColumn("Score", numeric=True),
        TableColumn("Probability", numeric=True),
        TableColumn("Most of it from"),
    ]
    rows: Rows = [
        [
            str(line.place),
            TableCell(line.title, line.item_id if line.title != line.item_id else ""),
            f"{line.score:.4f}",
            f"{line.probability:.4f}",
            _main_source(view, line),
        ]
        for line in view.lines
    ]
    table("Best first; probability is the score divided by the sum of the weights", columns, rows)


def _main_source(view: RankingView, line: RankedLine) -> TableCell | str:
    """The source scenario that contributes most to an item's score, with its share."""
    if not line.shares:
        return "-"
    place = max(range(len(line.shares)), key=line.shares.__getitem__)
    return TableCell(view.sources[place].name, f"{line.shares[place]:.0%} of the score", colour=colour(place))
