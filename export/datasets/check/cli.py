"""`crossrec data`: check a data set, or write a template of one.

Knows flags and the report's layout; data_check.py runs the checks.
"""

import json
import time
from itertools import pairwise
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from export.datasets.check.columns import MemoryTableReader, TableReader
from export.datasets.check.data_check import check_data
from export.datasets.check.report import LEVELS, CheckReport, Finding
from export.datasets.jsonl import load_jsonl
from export.datasets.start.cli import start
from export.datasets.storage import DatasetReader
from export.datasets.tables import ROW_TYPES, SPLITS
from export.datasets.template import write_template
from services.errors import ConfigurationError
from services.settings.load import load_settings
from services.settings.terminal import open_console
from services.text.encoder import find_info

data_app = typer.Typer(no_args_is_help=True, help="Own data: write a template, and check a data set.")

data_app.command()(start)

COLOURS = {"ok": "green", "note": "cyan", "warning": "yellow", "error": "red"}
BLOCKS = "▁▂▃▄▅▆▇█"
SPARKLINE_WIDTH = 60


@data_app.command()
def check(
    data: Annotated[str, typer.Option(help="Name of an imported data set: a directory below data_dir.")] = "",
    directory: Annotated[
        Path | None, typer.Option("--dir", help="Directory with JSON lines or Parquet files, before the import.")
    ] = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write the report as JSON to this file, too.")
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Print passed checks, too.")] = False,
) -> None:
    """Check a data set: labels, time leaks, gaps, duplicates, missing texts and ones that are not read.

    Each finding has its consequence for training and what to do. Exit code 1 if there is an error.
    """
    if bool(data) == bool(directory):
        raise typer.BadParameter("give either --data or --dir", param_hint="--data / --dir")
    settings = load_settings(data)
    console = open_console()
    tables: TableReader
    if directory:
        latest_s = time.time() + settings.gateway.future_tolerance_s
        dataset = load_jsonl(source=directory, settings=settings.dataset, reading=settings.source, latest_s=latest_s)
        tables = MemoryTableReader(dataset)
        for warning in dataset.warnings:
            open_console(stderr=True, highlight=False).print(f"import: {warning}", style="yellow")
        for remark in dataset.remarks:
            open_console(stderr=True, highlight=False).print(f"import: {remark}", style="cyan")
    else:
        tables = reader = DatasetReader(settings.data_dir / data)
        reader.check_contract(time.time() + settings.gateway.future_tolerance_s)
    with console.status("checking"):
        window_s, now_ms, built = (
            settings.dataset.label_window_s,
            round(time.time() * 1000),
            find_info(settings.encoder_dir),
        )
        report = check_data(tables, settings.features, window_s, now_ms, settings.text_encoder, built)
    print_report(console, report, everything)
    if json_file:
        write_report(report, json_file)
    raise typer.Exit(1 if report.worst == "error" else 0)


@data_app.command()
def template(
    directory: Annotated[Path, typer.Argument(help="Output directory; created if it does not exist.")],
) -> None:
    """Write a small data set as a template: three tables, their settings, and documentation of each column.

    It imports, checks, replays and trains unchanged; its README.md lists the commands.
    """
    console = open_console(highlight=False)
    for path in write_template(directory):
        console.print(f"{path}: {len(path.read_text(encoding='utf-8').splitlines())} lines", soft_wrap=True)
    console.print(f"next: crossrec --config {directory}/crossrec.toml data check --dir {directory}", soft_wrap=True)


def write_report(report: CheckReport, path: Path) -> None:
    """Write the report as JSON; ConfigurationError if the file cannot be written."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(report.as_json(), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    except OSError as error:
        raise ConfigurationError(f"--json {path}: {error.strerror}") from error


def print_report(console: Console, report: CheckReport, everything: bool) -> None:
    """Print counts, labels, days and findings, the worst first."""
    console.print(", ".join(f"{count:,} {name}" for name, count in report.tables.items()), highlight=False)
    console.print(build_event_table(report))
    if report.labels:
        console.print(build_label_table(report))
    days = report.days
    console.print(f"events per day from {report.first_day}, {len(days)} days:", highlight=False)
    console.print(f"{draw_sparkline(days)}  {min(days):,} to {max(days):,}", highlight=False)
    findings = [f for f in report.findings if everything or f.level != "ok"]
    for finding in sorted(findings, key=lambda f: -LEVELS.index(f.level)):
        _print_finding(console, finding)
    levels = report.as_json()["levels"]
    console.print(Text(", ").join(Text(f"{count} {level}", COLOURS[level]) for level, count in levels.items()))


def _print_finding(console: Console, finding: Finding) -> None:
    numbers = finding.numbers_text()
    # A grid keeps wrapped lines of the meaning aligned.
    grid = Table.grid(padding=(0, 1))
    grid.add_column(width=8)
    grid.add_column()
    grid.add_row(
        Text(finding.level, COLOURS[finding.level]),
        Text.assemble((finding.name, "bold"), f": {numbers}" if numbers else ""),
    )
    grid.add_row("", finding.meaning)
    console.print(grid)


def build_event_table(report: CheckReport) -> Table:
    """Table of events per scenario and type."""
    types = sorted({kind for row in report.events.values() for kind in row}, key=ROW_TYPES.index)
    table = Table("scenario", title="Events")
    for kind in types:
        table.add_column(kind, justify="right")
    for scenario, row in report.events.items():
        table.add_row(scenario, *(f"{row[kind]:,}" if kind in row else "-" for kind in types))
    return table


def build_label_table(report: CheckReport) -> Table:
    """Table of labelled rows and the share of positives per scenario and split."""
    splits = sorted({str(row["split"]) for row in report.labels}, key=SPLITS.index)
    table = Table("scenario", title="Labelled rows and share of positives")
    for split in splits:
        table.add_column(split, justify="right")
    rows = {(row["scenario"], row["split"]): row for row in report.labels}
    for scenario in dict.fromkeys(row["scenario"] for row in report.labels):
        cells = [rows.get((scenario, split)) for split in splits]
        table.add_row(
            str(scenario),
            *(f"{row['rows']:,}  {int(row['positives']) / int(row['rows']):6.1%}" if row else "-" for row in cells),
        )
    return table


def draw_sparkline(counts: list[int]) -> str:
    """Counts as a line of block characters, averaged to at most 60; a gap is a blank."""
    width = min(len(counts), SPARKLINE_WIDTH)
    bounds = [len(counts) * n // width for n in range(width + 1)]
    means = [sum(counts[a:b]) / (b - a) for a, b in pairwise(bounds)]
    top = max(means)
    return "".join(BLOCKS[min(int(mean / top * len(BLOCKS)), len(BLOCKS) - 1)] if mean else " " for mean in means)
