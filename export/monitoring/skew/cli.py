"""`crossrec skew`: whether features were served as the replay makes them.

Knows flags and how the tables look; heavy imports wait until the command runs.
"""

import json
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from services.settings.times import utc_seconds

SETTLE_S = 10.0
"""The age of rows in the server's memory and the consumers' own way, with room to spare."""

if TYPE_CHECKING:
    from export.monitoring.skew.check import SkewReport
    from export.monitoring.skew.differences import ColumnDifference


def skew_command(
    data: Annotated[str, typer.Option(help="Name of an imported data set that holds the history of the requests.")],
    since: Annotated[datetime | None, typer.Option("--from", help="Requests answered from then on (UTC).")] = None,
    until: Annotated[datetime | None, typer.Option(help="Requests answered before then (UTC).")] = None,
    settle: Annotated[
        float,
        typer.Option(min=0, help="Seconds within which an event may be missing in what all users' events add up to."),
    ] = SETTLE_S,
    tolerance: Annotated[
        float, typer.Option(min=0, help="Largest difference that counts as none, relative for values above 1.")
    ] = 1e-5,
    json_file: Annotated[Path | None, typer.Option("--json", help="Where to write the figures.")] = None,
) -> None:
    """Compare features as they were served with the replay's for the same requests; exit code 1 if they differ.

    Reads the topic of served answers (served_log.share) and replays the data set up to each request.
    """
    from export.datasets.storage import DatasetReader
    from export.monitoring.skew.check import TimeWindow, check_skew
    from services.settings.load import load_settings

    console, settings = Console(highlight=False), load_settings(data)
    window = TimeWindow(utc_seconds(since) if since else 0.0, utc_seconds(until) if until else float("inf"))
    with console.status("replaying the history"):
        reader = DatasetReader(settings.data_dir / data)
        found = check_skew(settings, reader, window, settle, tolerance)
    if json_file:
        json_file.parent.mkdir(parents=True, exist_ok=True)
        json_file.write_text(json.dumps(found.figures(), indent=2) + "\n")
    show(console, found)
    raise typer.Exit(1 if found.skew else 0)


def show(console: Console, found: "SkewReport") -> None:
    """Print what differs, and the totals."""
    requests = ", ".join(f"{name} {count:,}" for name, count in found.requests.items() if count)
    console.print(f"requests: {requests}")
    if reasons := ", ".join(f"{name} {count:,}" for name, count in found.reasons.items() if count):
        console.print(f"of those compared, events that one side could not know: {reasons}")
    if found.explained:
        title = f"Differences where one side could not know all events ({found.explained_values:,} values): no skew"
        console.print(_table(title, found.explained))
    if found.skew:
        console.print(_table(f"Skew ({found.values:,} values)", found.skew))
    console.print(f"{found.values:,} values compared, {len(found.skew)} features differ")


def _table(title: str, differences: "list[ColumnDifference]") -> Table:
    table = Table(title=title, box=SIMPLE_HEAD, title_justify="left")
    for name in ("tensor", "feature"):
        table.add_column(name)
    for name in ("values", "differ", "largest", "mean"):
        table.add_column(name, justify="right")
    table.add_column("largest: answer, scenario, item, served, replayed", overflow="fold")
    for line in differences:
        at = line.example
        where = " ".join(part for part in (at.answer_id, at.scenario, at.item) if part)
        table.add_row(
            line.tensor,
            line.feature,
            f"{line.values:,}",
            f"{line.differing / line.values:.1%}",
            f"{line.largest:.3g}",
            f"{line.mean:.3g}",
            f"{where} {at.served:.6g} {at.replayed:.6g}",
        )
    return table
