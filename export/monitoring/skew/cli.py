"""`crossrec skew`: compares served features with the replay's.

Knows flags and table layout; heavy imports are delayed until the command runs.
"""

import json
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from services.settings.private_files import write_private_text
from services.settings.terminal import open_console
from services.settings.times import utc_seconds

SETTLE_S = 10.0
"""Covers the age of the server's cached rows and the consumers' latency, with margin."""

if TYPE_CHECKING:
    from export.monitoring.skew.check import SkewReport
    from export.monitoring.skew.differences import ColumnDifference


def skew_command(
    data: Annotated[str, typer.Option(help="Imported data set with the history of the requests.")],
    since: Annotated[datetime | None, typer.Option("--from", help="Start of the time window of answers (UTC).")] = None,
    until: Annotated[datetime | None, typer.Option(help="End of the time window of answers, exclusive (UTC).")] = None,
    settle: Annotated[
        float,
        typer.Option(
            min=0, help="Seconds after its arrival in Kafka within which an event may be missing from activity rows."
        ),
    ] = SETTLE_S,
    tolerance: Annotated[
        float, typer.Option(min=0, help="Differences up to this count as equal; relative for values above 1.")
    ] = 1e-5,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the report as JSON to this file.")] = None,
) -> None:
    """Check training-serving skew: compare served features with the replay's; exit code 1 if they differ.

    Reads the topic of served answers (setting served_log.share) and replays the data set up to each request.
    """
    from export.datasets.storage import DatasetReader
    from export.monitoring.skew.check import TimeWindow, check_skew
    from services.settings.load import load_settings

    console, settings = open_console(highlight=False), load_settings(data)
    window = TimeWindow(utc_seconds(since) if since else 0.0, utc_seconds(until) if until else float("inf"))
    with console.status("replaying the history"):
        reader = DatasetReader(settings.data_dir / data)
        report = check_skew(settings, reader, window, settle, tolerance)
    if json_file:
        write_private_text(json_file, json.dumps(report.as_dict(), indent=2) + "\n")
    print_report(console, report)
    raise typer.Exit(1 if report.skew else 0)


def print_report(console: Console, report: "SkewReport") -> None:
    """Print the columns that differ, and the totals."""
    requests = ", ".join(f"{name} {count:,}" for name, count in report.requests.items() if count)
    console.print(f"requests: {requests}")
    if reasons := ", ".join(f"{name} {count:,}" for name, count in report.reasons.items() if count):
        console.print(f"compared requests with excluded values, by reason: {reasons}")
    if report.excluded:
        title = f"Excluded differences, not skew: the sides knew different events ({report.excluded_values:,} values)"
        console.print(_table(title, report.excluded))
    if report.skew:
        console.print(_table(f"Skew ({report.values:,} values)", report.skew))
    console.print(f"{report.values:,} values compared, {len(report.skew)} features differ")


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
