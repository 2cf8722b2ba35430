"""Health: servers, consumers, models and skew."""

import asyncio
from collections.abc import Sequence
from functools import partial
from html import escape

from nicegui import ui

from services.console.choice import iso
from services.console.health import GroupView, ServedModel, group_views, newest_event, served_model
from services.console.pages.parts import card, facts, fill, html, lead, place, table
from services.console.servers import Health
from services.console.skew import SkewReport, read_skew
from services.console.system import Session, System
from services.console.tables import Cell, Column, Rows, table_html

REFRESH_S = 5.0


async def health_page(session: Session) -> None:
    """The page; looks again on demand, or every few seconds."""
    system = session.system
    with card("Health"):
        lead("What answers, how far the feature consumers are behind, what serves, and whether features are skewed.")
        with ui.row().classes("items-center gap-4"):
            again = ui.button("Look again").props("no-caps unelevated")
            every = ui.switch(f"every {REFRESH_S:g} s")
    with card("Servers"):
        servers = place()
    with card("Feature consumers"):
        consumers = place()
    with card("Freshness"):
        fresh = place()
    with card("Model"):
        model = place()
    with card("Skew between serving and training features"):
        skew = place()

    async def quick() -> None:
        await asyncio.gather(
            fill(servers, "Asking", system.servers.health, show_servers),
            fill(
                consumers,
                "Asking Kafka",
                lambda: group_views(system.groups()),
                show_groups,
            ),
            fill(
                fresh,
                "Reading",
                lambda: newest_event(system.catalogue.current().newest_s, system.clock()),
                show_freshness,
            ),
        )

    async def look() -> None:
        await asyncio.gather(
            quick(),
            fill(model, "Reading the registry", lambda: served_model(system.settings), show_model),
            _skew(system, skew),
        )

    again.on_click(look)
    timer = ui.timer(REFRESH_S, quick, active=False)
    every.bind_value_to(timer, "active")
    await look()


def show_servers(found: list[Health]) -> None:
    """Both servers."""
    rows: Rows = [
        [
            Cell(health.name.capitalize(), health.address),
            Cell(health.state, health.detail, mark="good" if health.state == "SERVING" else "bad"),
            f"{health.took_ms:,.0f}",
        ]
        for health in found
    ]
    table("The standard gRPC health check", [Column("Server"), Column("State"), Column("Took, ms", numeric=True)], rows)


def show_groups(groups: list[GroupView]) -> None:
    """The consumer groups, partition by partition."""
    columns = [Column(name, numeric=True) for name in ("Partition", "Committed", "End", "Lag", "Lag, s")]
    with ui.element("div").classes("grid grid-cols-1 lg:grid-cols-2 gap-x-8 gap-y-4 w-full"):
        for group in groups:
            said = f"{group.state}, {_count(group.members, 'consumer')}, {group.lag} behind"
            with ui.column().classes("min-w-0 gap-1"):
                mark, sign = ("good", "✓") if group.fine else ("bad", "!")
                html(f'<div class="cr-{mark}">{sign}&nbsp;{escape(group.kind)}</div>')
                if group.rows:
                    table(said, columns, group.rows)
                else:
                    lead(f"{said}; it has no partitions.")


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def show_freshness(newest: str) -> None:
    """How old the newest folded event is."""
    facts([("Newest event in the online store", newest)])


def show_model(found: ServedModel) -> None:
    """What serves, with all that `crossrec models show` says."""
    facts([("Serves", found.rollout)])
    for version, lines in found.versions.items():
        with ui.expansion(f"What the registry says of {version}").classes("w-full").props("dense"):
            rows = [[field, value] for field, value in lines]
            html(f'<div class="cr-wide">{table_html(version, [Column("Field"), Column("Value")], rows)}</div>')


async def _skew(system: System, where: ui.column) -> None:
    if system.skew is None:
        where.clear()
        with where:
            lead(
                "No report is named: write one with `crossrec skew --json FILE` and start the console with --skew FILE."
            )
        return
    await fill(where, "Reading the report", partial(read_skew, system.skew), show_skew)


def show_skew(report: SkewReport) -> None:
    """The report, the worst first."""
    if not report.rows:
        lead("The report compares no feature.")
        return
    columns: Sequence[Column] = [Column(name, numeric=place > 0) for place, name in enumerate(report.columns)]
    content = table_html(
        f"By feature, the most different first; written {iso(report.written_s)} UTC", columns, report.rows
    )
    html(f'<div class="cr-wide">{content}</div>')
