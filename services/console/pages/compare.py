"""Compare: two models, or arms of an experiment, on the same request."""

from nicegui import ui

from services.console.catalogue import KnownNames
from services.console.comparison import ComparedItem, RankingComparison, compare
from services.console.context import Session
from services.console.live import format_change
from services.console.pages.form import describe_names, request_form
from services.console.pages.parts import card, facts, lead, load_at_once, load_into, load_on_click, message, slot, table
from services.console.rank_form import is_complete, rank_request, select_candidates
from services.console.ranking_view import describe_degradation
from services.console.tables import Rows, TableCell, TableColumn

Versions = tuple[str, str]
"""NAME/VERSION of the first and of the second model."""

Compared = tuple[RankingComparison, list[str], Versions]
"""The comparison, what was degraded, and the pair."""


async def compare_page(session: Session) -> None:
    """The page."""
    where, context = slot(), session.context
    await load_into(
        where,
        "Reading names and the model registry",
        lambda: (context.catalogue.current(), context.offline_ranker.versions()),
        lambda found: _form(session, *found),
    )


def _form(session: Session, known: KnownNames, versions: dict[str, str]) -> None:
    session.form.prefill(known, session.context.clock())
    with card("Compare two models"):
        lead(
            "The server deals its models out by user. Here the console opens two versions of the registry itself, with "
            "the same rows of the online store, and ranks one request with both. "
            + describe_names(known, session.context.clock())
        )
        if not versions:
            message("info", "The registry holds no model yet; `crossrec train` makes one.")
            return
        request_form(session.form, known)
        chosen = list(versions)
        labels = {version: f"{version}, {role}" if role else version for version, role in versions.items()}
        with ui.element("div").classes("grid grid-cols-1 sm:grid-cols-2 gap-x-4 gap-y-2 w-full"):
            first = ui.select(labels, value=chosen[0], label="First model").classes("w-full")
            second = ui.select(labels, value=chosen[min(1, len(chosen) - 1)], label="Second model").classes("w-full")
        button = ui.button("Compare").props("no-caps unelevated")
    answer = slot()

    def work() -> Compared:
        return compare_models(session, known, (str(first.value), str(second.value)))

    doing = "Opening models and ranking"
    load_on_click(button, answer, doing, work, lambda found: show(*found))
    if len(versions) > 1 and is_complete(session.form, known):
        load_at_once(button, answer, doing, work, lambda found: show(*found))
        return
    with answer, card("Both orders"):
        lead(
            "Nothing is compared yet."
            if len(versions) > 1
            else "There is one version: it can only be compared with itself."
        )


def compare_models(session: Session, known: KnownNames, pair: Versions) -> Compared:
    """Rank with both; also what was degraded, and the pair. Blocks; raises CrossRecError."""
    context = session.context
    items = select_candidates(session.form, known)
    # Both as of one moment: features decay.
    request = rank_request(session.form, items)
    if not request.HasField("request_time"):
        request.request_time.FromMilliseconds(int(context.clock() * 1000))
    first, second = (context.offline_ranker.rank(version, request) for version in pair)
    warnings = dict.fromkeys(describe_degradation(line) for answer in (first, second) for line in answer.degraded)
    return compare(first, second, context.catalogue.titles(items)), list(warnings), pair


def show(found: RankingComparison, warnings: list[str], pair: Versions) -> None:
    """Figures and both orders."""
    for warning in warnings:
        message("warning", warning)
    with card("How alike they are"):
        correlation = "one item only" if found.correlation is None else f"{found.correlation:.3f}"
        furthest = (
            "none moves" if found.largest_move is None else f"{found.largest_move[0]}: {found.largest_move[1]} places"
        )
        facts(
            [
                ("Rank correlation (Spearman), -1 to 1", correlation),
                (f"In the top {found.top} of both", f"{found.overlap} of {found.top} items"),
                ("Mean difference", f"{found.mean_move:.1f} places"),
                ("Largest difference", furthest),
            ]
        )
    with card("Both orders"):
        columns = [TableColumn("Place", numeric=True), *(TableColumn(version) for version in pair)]
        rows: Rows = [
            [str(place), _cell(ours), _cell(theirs)] for place, (ours, theirs) in enumerate(found.pairs, start=1)
        ]
        table("Under each item: how many places higher (▲) or lower (▼) the second model puts it", columns, rows)


def _cell(item: ComparedItem) -> TableCell:
    known = "" if item.title == item.item_id else item.item_id
    moved = format_change(item.change) if item.change else ""
    return TableCell(item.title, " ".join(part for part in (known, moved) if part))
