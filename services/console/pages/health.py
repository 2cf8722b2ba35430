"""Health: servers, consumers, models and skew."""

import asyncio
from collections.abc import Sequence
from functools import partial
from html import escape

from nicegui import ui

from services.console.context import ConsoleContext, Session
from services.console.health import GroupView, ServedModel, group_views, newest_event, served_model
from services.console.pages.parts import card, facts, html, lead, load_into, slot, table
from services.console.rank_form import format_time
from services.console.servers import ServerHealth
from services.console.skew import SkewTable, read_skew
from services.console.tables import Rows, TableCell, TableColumn, table_html

REFRESH_S = 5.0


async def health_page(session: Session) -> None:
    """The page; refreshes on demand, or every few seconds."""
    context = session.context
    with card("Health"):
        lead("Health of the servers, lag of the feature consumers, the served models, and feature skew.")
        with ui.row().classes("items-center gap-4"):
            again = ui.button("Refresh").props("no-caps unelevated")
            every = ui.switch(f"every {REFRESH_S:g} s")
    with card("Servers"):
        servers = slot()
    with card("Feature consumers"):
        consumers = slot()
    with card("Freshness"):
        fresh = slot()
    with card("Model"):
        model = slot()
    with card("Skew between serving and training features"):
        skew = slot()

    async def quick() -> None:
        await asyncio.gather(
            load_into(servers, "Asking", context.servers.health, show_servers),
            load_into(
                consumers,
                "Asking Kafka",
                lambda: group_views(context.groups()),
                show_groups,
            ),
            load_into(
                fresh,
                "Reading",
                lambda: newest_event(context.catalogue.current().newest_s, context.clock()),
                show_freshness,
            ),
        )

    async def look() -> None:
        await asyncio.gather(
            quick(),
            load_into(model, "Reading the registry", lambda: served_model(context.settings), show_model),
            _skew(context, skew),
        )

    again.on_click(look)
    timer = ui.timer(REFRESH_S, quick, active=False)
    every.bind_value_to(timer, "active")
    await look()


def show_servers(found: list[ServerHealth]) -> None:
    """Both servers."""
    rows: Rows = [
        [
            TableCell(health.name.capitalize(), health.address),
            TableCell(health.state, health.detail, mark="good" if health.state == "SERVING" else "bad"),
            f"{health.took_ms:,.0f}",
        ]
        for health in found
    ]
    table(
        "The standard gRPC health check",
        [TableColumn("Server"), TableColumn("State"), TableColumn("Took, ms", numeric=True)],
        rows,
    )


def show_groups(groups: list[GroupView]) -> None:
    """The consumer groups, partition by partition."""
    columns = [TableColumn(name, numeric=True) for name in ("Partition", "Committed", "End", "Lag", "Lag, s")]
    with ui.element("div").classes("grid grid-cols-1 lg:grid-cols-2 gap-x-8 gap-y-4 w-full"):
        for group in groups:
            summary = f"{group.state}, {_count(group.members, 'consumer')}, {group.lag} behind"
            with ui.column().classes("min-w-0 gap-1"):
                mark, sign = ("good", "✓") if group.fine else ("bad", "!")
                html(f'<div class="cr-{mark}">{sign}&nbsp;{escape(group.kind)}</div>')
                if group.rows:
                    table(summary, columns, group.rows)
                else:
                    lead(f"{summary}; it has no partitions.")


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def show_freshness(newest: str) -> None:
    """How old the newest folded event is."""
    facts([("Newest event in the online store", newest)])


def show_model(found: ServedModel) -> None:
    """The served models, with the output of `crossrec models show`."""
    facts([("Serves", found.rollout)])
    for version, lines in found.versions.items():
        with ui.expansion(f"Registry entry of {version}").classes("w-full").props("dense"):
            rows = [[field, value] for field, value in lines]
            html(
                f'<div class="cr-wide">{table_html(version, [TableColumn("Field"), TableColumn("Value")], rows)}</div>'
            )


async def _skew(context: ConsoleContext, where: ui.column) -> None:
    if context.skew is None:
        where.clear()
        with where:
            lead(
                "There is no report: write one with `crossrec skew --json FILE` and start the console with --skew FILE."
            )
        return
    await load_into(where, "Reading the report", partial(read_skew, context.skew), show_skew)


def show_skew(report: SkewTable) -> None:
    """The report, the worst first."""
    if not report.rows:
        lead("The report compares no feature.")
        return
    columns: Sequence[TableColumn] = [TableColumn(name, numeric=place > 0) for place, name in enumerate(report.columns)]
    content = table_html(
        f"By feature, the most different first; written {format_time(report.written_s)} UTC", columns, report.rows
    )
    html(f'<div class="cr-wide">{content}</div>')
