"""`crossrec import` and `crossrec user erase`: convert a data set and print a summary; erase a user.

Knows flags and the summary's layout; the adapters interpret their options.
"""

import time
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from services.errors import CrossRecError
from services.settings.load import load_settings
from services.users.cli import UserId

ADAPTER_HELP = "What to import: completejourney (grocery data from an installed package) or jsonl (your own files)."


def import_command(
    adapter: Annotated[str, typer.Argument(help=ADAPTER_HELP)],
    out: Annotated[Path | None, typer.Option(help="Output directory. Default: data/<adapter>.")] = None,
    source: Annotated[
        Path | None,
        typer.Option(
            help="Directory to read: events, items and scenarios as .jsonl or .parquet for jsonl; "
            "the package's Parquet files for completejourney, by default those installed."
        ),
    ] = None,
    events: Annotated[Path | None, typer.Option(help="jsonl: the events file, instead of the one in source.")] = None,
    items: Annotated[Path | None, typer.Option(help="jsonl: the items file.")] = None,
    scenarios: Annotated[Path | None, typer.Option(help="jsonl: the scenarios file.")] = None,
    households: Annotated[
        int | None, typer.Option(help="completejourney: random sample of this many households. Default: all.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="completejourney: random seed. Default: 0.")] = None,
    negatives: Annotated[int | None, typer.Option(help="completejourney: negatives per positive. Default: 4.")] = None,
) -> None:
    """Convert a data set to the events, items and scenarios tables that training and replay read.

    Writes events.parquet, items.parquet, scenarios.parquet and dataset.json, or nothing if there is any error;
    errors are listed with file, line and column. For jsonl, the settings' [dataset] section defines how labels,
    negatives and splits are made if the events have none.
    """
    from export.datasets.registry import import_dataset

    arguments = {
        "source": source,
        "events": events,
        "items": items,
        "scenarios": scenarios,
        "households": households,
        "seed": seed,
        "negatives": negatives,
    }
    options: dict[str, Any] = {name: value for name, value in arguments.items() if value is not None}
    if adapter == "jsonl":
        settings = load_settings()
        options["settings"] = settings.dataset
        options["latest_s"] = time.time() + settings.gateway.future_tolerance_s
    console = Console()
    errors = Console(stderr=True, highlight=False)
    try:
        with console.status(f"importing {adapter}") as status:
            summary = import_dataset(
                adapter,
                out or Path("data") / adapter,
                report=lambda step: status.update(f"{adapter}: {step}"),
                **options,
            )
    except CrossRecError as error:
        errors.print(f"error: {error}", style="red", markup=False, soft_wrap=True)
        raise typer.Exit(1) from None
    for warning in summary.warnings:
        errors.print(f"warning: {warning}", style="yellow", markup=False)
    console.print(build_event_table(summary.events))
    rows = ", ".join(f"{count:,} {table}" for table, count in summary.rows.items())
    console.print(f"{rows} from {summary.first:%Y-%m-%d} to {summary.last:%Y-%m-%d}", highlight=False)
    console.print(f"written to {summary.out} in {summary.seconds:.1f} s", highlight=False)


def build_event_table(events: list[dict[str, str | int | None]]) -> Table:
    """Table of rows and share of positives per type, split and scenario."""
    table = Table("type", "split", "scenario", title="Events")
    table.add_column("rows", justify="right")
    table.add_column("positive", justify="right")
    for row in events:
        count, positives = int(row["rows"] or 0), row["positives"]
        share = "" if positives is None else f"{int(positives) / count:.1%}"
        table.add_row(str(row["type"]), str(row["split"] or ""), escape(str(row["scenario_id"])), f"{count:,}", share)
    return table


def erase_command(
    user_id: UserId,
    data: Annotated[str, typer.Option(help="Erase the user from this imported data set, too.")] = "",
) -> None:
    """Erase a user: publish an erasure, as the gateway does, and print the next steps."""
    from export.datasets.storage import DatasetReader
    from services.gateway.main import build_intake
    from services.kafka.kafka_publisher import KafkaPublisher
    from services.users.erasure import NEXT_STEPS, NEXT_STEPS_OF_DATA, request_erasure

    console, chosen, time_s = Console(), load_settings(data), time.time()
    directory = DatasetReader(chosen.data_dir / data).path if data else None
    publisher = KafkaPublisher(chosen.kafka, chosen.gateway.kafka_timeout_s)
    try:
        request_erasure(build_intake(chosen, publisher), user_id, time_s)
    finally:
        publisher.close(chosen.gateway.kafka_timeout_s)
    console.print(NEXT_STEPS)
    if directory:
        from export.datasets.erasures import add_erasure

        add_erasure(directory, user_id, time_s)
        console.print(NEXT_STEPS_OF_DATA)
