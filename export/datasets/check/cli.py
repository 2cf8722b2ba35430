"""`crossrec data`: check a data set, or write a template of one.

Knows flags and how a report looks; what is checked is check.py's matter.
"""

import json
import time
from itertools import pairwise
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from export.datasets.check.check import CheckReport, check_data
from export.datasets.check.columns import MemoryTableReader, TableReader
from export.datasets.check.findings import LEVELS, Finding
from export.datasets.jsonl import load_jsonl
from export.datasets.storage import DatasetReader
from export.datasets.tables import ROW_TYPES, SPLITS
from export.datasets.template import write_template
from services.errors import ConfigurationError
from services.settings.load import load_settings

data_app = typer.Typer(no_args_is_help=True, help="Bring your own data: a template to start from, and a check.")

COLOURS = {"ok": "green", "note": "cyan", "warning": "yellow", "error": "red"}
BLOCKS = "▁▂▃▄▅▆▇█"
SPARKLINE_WIDTH = 60


@data_app.command()
def check(
    data: Annotated[str, typer.Option(help="Name of an imported data set: a directory below data_dir.")] = "",
    directory: Annotated[
        Path | None, typer.Option("--dir", help="Directory with JSON lines or Parquet files, before any import.")
    ] = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the report there too.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Show what is in order too.")] = False,
) -> None:
    """Count and question a data set: labels, leaks in time, gaps, duplicates, missing words.

    Each finding says what it means for training and what to do. Exits with 1 if there is an error among them.
    """
    if bool(data) == bool(directory):
        raise typer.BadParameter("give either --data or --dir", param_hint="--data / --dir")
    settings = load_settings(data)
    console = Console()
    tables: TableReader
    if directory:
        dataset = load_jsonl(source=directory, settings=settings.dataset)
        tables = MemoryTableReader(dataset)
        for warning in dataset.warnings:
            Console(stderr=True, highlight=False).print(f"import: {warning}", style="yellow", markup=False)
    else:
        tables = DatasetReader(settings.data_dir / data)
    with console.status("checking"):
        report = check_data(tables, settings.features, settings.dataset.label_window_s, round(time.time() * 1000))
    show(console, report, everything)
    if json_file:
        write_report(report, json_file)
    raise typer.Exit(1 if report.worst == "error" else 0)


@data_app.command()
def template(
    directory: Annotated[Path, typer.Argument(help="Directory to write; made if it is not there.")],
) -> None:
    """Write a small data set to start from: three tables, their settings, and what each column means.

    It imports, checks, replays and trains as it is; README.md in it says how.
    """
    console = Console(highlight=False)
    for path in write_template(directory):
        console.print(f"{path}: {len(path.read_text().splitlines())} lines", soft_wrap=True)
    console.print(f"now: crossrec --config {directory}/crossrec.toml data check --dir {directory}", soft_wrap=True)


def write_report(report: CheckReport, path: Path) -> None:
    """Write the report as JSON; ConfigurationError if the file cannot be written."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(report.as_json(), indent=2, ensure_ascii=False) + "\n")
    except OSError as error:
        raise ConfigurationError(f"--json {path}: {error.strerror}") from error


def show(console: Console, report: CheckReport, everything: bool) -> None:
    """Print counts, labels, days and findings, worst first."""
    console.print(", ".join(f"{count:,} {name}" for name, count in report.tables.items()), highlight=False)
    console.print(event_table(report))
    if report.labels:
        console.print(label_table(report))
    days = report.days
    console.print(f"events per day from {report.first_day}, {len(days)} days:", highlight=False)
    console.print(f"{sparkline(days)}  {min(days):,} to {max(days):,}", highlight=False)
    shown = [f for f in report.findings if everything or f.level != "ok"]
    for finding in sorted(shown, key=lambda f: -LEVELS.index(f.level)):
        _show_finding(console, finding)
    levels = report.as_json()["levels"]
    console.print(", ".join(f"[{COLOURS[level]}]{count} {level}[/]" for level, count in levels.items()))


def _show_finding(console: Console, finding: Finding) -> None:
    numbers = ", ".join(f"{name} {_worded(name, value)}" for name, value in finding.numbers.items())
    # A grid: wrapped lines of the meaning stay below its first.
    grid = Table.grid(padding=(0, 1))
    grid.add_column(width=8)
    grid.add_column()
    grid.add_row(
        f"[{COLOURS[finding.level]}]{finding.level}[/]", f"[b]{finding.name}[/b]" + (f": {numbers}" if numbers else "")
    )
    grid.add_row("", finding.meaning)
    console.print(grid)


def _worded(name: str, value: int | float | str | list[str]) -> str:
    if isinstance(value, list):
        return ", ".join(value[:10]) + (f" and {len(value) - 10} more" if len(value) > 10 else "")
    if name == "share":
        return f"{float(value):.1%}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def event_table(report: CheckReport) -> Table:
    """Events per scenario and type."""
    types = sorted({kind for row in report.events.values() for kind in row}, key=ROW_TYPES.index)
    table = Table("scenario", title="Events")
    for kind in types:
        table.add_column(kind, justify="right")
    for scenario, row in report.events.items():
        table.add_row(scenario, *(f"{row[kind]:,}" if kind in row else "-" for kind in types))
    return table


def label_table(report: CheckReport) -> Table:
    """Labelled rows and the share of positives per scenario and split."""
    splits = sorted({str(row["split"]) for row in report.labels}, key=SPLITS.index)
    table = Table("scenario", title="Labelled rows and share of positives")
    for split in splits:
        table.add_column(split, justify="right")
    found = {(row["scenario"], row["split"]): row for row in report.labels}
    for scenario in dict.fromkeys(row["scenario"] for row in report.labels):
        cells = [found.get((scenario, split)) for split in splits]
        table.add_row(
            str(scenario),
            *(f"{row['rows']:,}  {int(row['positives']) / int(row['rows']):6.1%}" if row else "-" for row in cells),
        )
    return table


def sparkline(counts: list[int]) -> str:
    """Counts as a line of blocks, averaged to at most 60; a gap stays a blank."""
    width = min(len(counts), SPARKLINE_WIDTH)
    bounds = [len(counts) * n // width for n in range(width + 1)]
    means = [sum(counts[a:b]) / (b - a) for a, b in pairwise(bounds)]
    top = max(means)
    return "".join(BLOCKS[min(int(mean / top * len(BLOCKS)), len(BLOCKS) - 1)] if mean else " " for mean in means)
