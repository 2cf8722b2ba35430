"""`crossrec import` and `crossrec user erase`: convert a data set and print a summary; erase a user.

Knows flags and the summary's layout; the adapters interpret their options.
"""

import time
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import ValidationError
from rich.table import Table

from services.errors import ConfigurationError, CrossRecError
from services.settings.load import load_settings, settings_file
from services.settings.source import SourceSettings
from services.settings.terminal import open_console
from services.users.cli import UserId

ADAPTER_HELP = (
    "What to import: files (those that the settings list in [source]), csv or jsonl (your own files: CSV, JSON lines "
    "or Parquet), movielens (ratings of films), sequence (a user and its items in order a line), or completejourney "
    "(grocery data from an installed package)."
)


def import_command(
    adapter: Annotated[str, typer.Argument(help=ADAPTER_HELP)] = "files",
    out: Annotated[Path | None, typer.Option(help="Output directory. Default: data/<adapter>.")] = None,
    source: Annotated[
        Path | None,
        typer.Option(
            help="Directory to read: events, items and scenarios as .csv, .jsonl or .parquet for own files; for "
            "sequence, the file; for completejourney, the package's Parquet files, by default those installed."
        ),
    ] = None,
    events: Annotated[
        Path | None, typer.Option(help="Own files: the events file, instead of the one in source.")
    ] = None,
    items: Annotated[Path | None, typer.Option(help="Own files: the items file.")] = None,
    scenarios: Annotated[Path | None, typer.Option(help="Own files: the scenarios file.")] = None,
    users: Annotated[Path | None, typer.Option(help="Own files: the file of users' attributes.")] = None,
    columns: Annotated[
        list[str] | None,
        typer.Option("--map", help="Own files: a column and its name in the files, like item_id=movieId; repeatable."),
    ] = None,
    values: Annotated[
        list[str] | None,
        typer.Option("--set", help="Own files: a column that all events have alike, like type=rating; repeatable."),
    ] = None,
    time_zone: Annotated[
        str | None, typer.Option(help="Own files: zone of times that have none, like UTC or Europe/Berlin.")
    ] = None,
    households: Annotated[
        int | None, typer.Option(help="completejourney: random sample of this many households. Default: all.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="completejourney: random seed. Default: 0.")] = None,
    negatives: Annotated[int | None, typer.Option(help="completejourney: negatives per positive. Default: 4.")] = None,
) -> None:
    """Convert a data set to the events, items and scenarios tables that training and replay read.

    Writes a Parquet file per table and dataset.json, or nothing if there is any error; errors are listed with file,
    line and column. For own files, the settings' [dataset] section defines how labels, negatives and splits are made
    if the events have none, and [source] how columns are called and times written.
    """
    from export.datasets.registry import import_dataset

    arguments = {
        "source": source,
        "events": events,
        "items": items,
        "scenarios": scenarios,
        "users": users,
        "households": households,
        "seed": seed,
        "negatives": negatives,
    }
    options: dict[str, Any] = {name: value for name, value in arguments.items() if value is not None}
    console = open_console()
    errors = open_console(stderr=True, highlight=False)
    try:
        options |= _options_of_settings(adapter, columns or [], values or [], time_zone)
        with console.status(f"importing {adapter}") as status:
            summary = import_dataset(
                adapter,
                out or Path("data") / adapter,
                report=lambda step: status.update(f"{adapter}: {step}"),
                **options,
            )
    except CrossRecError as error:
        errors.print(f"error: {error}", style="red", soft_wrap=True)
        raise typer.Exit(1) from None
    for warning in summary.warnings:
        errors.print(f"warning: {warning}", style="yellow")
    for remark in summary.remarks:
        errors.print(f"note: {remark}", style="cyan")
    console.print(build_event_table(summary.events))
    rows = ", ".join(f"{count:,} {table}" for table, count in summary.rows.items())
    console.print(f"{rows} from {summary.first:%Y-%m-%d} to {summary.last:%Y-%m-%d}", highlight=False)
    console.print(f"written to {summary.out} in {summary.seconds:.1f} s", highlight=False)


def _options_of_settings(adapter: str, columns: list[str], values: list[str], time_zone: str | None) -> dict[str, Any]:
    """What the settings and these flags say, for an adapter that asks for it."""
    from export.datasets.registry import ADAPTERS

    takes = ADAPTERS[adapter].options if adapter in ADAPTERS else frozenset()
    settings, options = load_settings(adapter), dict[str, Any]()
    if "settings" in takes:
        options |= {"settings": settings.dataset, "latest_s": time.time() + settings.gateway.future_tolerance_s}
    flags = {"columns": pairs_of("--map", columns), "values": pairs_of("--set", values), "time_zone": time_zone}
    given = {name: value for name, value in flags.items() if value}
    if "reading" in takes:
        options["reading"] = at_settings_file(with_flags(settings.source, given))
        if adapter == "files" and not settings.source.files:
            raise ConfigurationError(
                "the settings list no files in [source]: make them with `crossrec data start FILE...`, or say what to "
                f"import: {', '.join(name for name in ADAPTERS if name != 'files')}"
            )
    elif given:
        raise ConfigurationError(f"{adapter} takes neither --map nor --set nor --time-zone; own files do")
    return options


def at_settings_file(source: SourceSettings) -> SourceSettings:
    """The settings with paths of files from where the settings file is."""
    at = settings_file()
    if not at:
        return source
    files = tuple(file.model_copy(update={"path": str(at.parent / file.path)}) for file in source.files)
    return source.model_copy(update={"files": files})


def with_flags(source: SourceSettings, given: dict[str, Any]) -> SourceSettings:
    """The settings with the flags, which take precedence. ConfigurationError naming what is wrong."""
    whole = source.model_dump()
    for name, value in given.items():
        whole[name] = {**whole[name], **value} if isinstance(value, dict) else value
    try:
        return SourceSettings.model_validate(whole)
    except ValidationError as error:
        first = error.errors()[0]
        raise ConfigurationError(
            f"--{str(first['loc'][0]).replace('_', '-')}: {first['msg'].removeprefix('Value error, ')}"
        ) from error


def pairs_of(flag: str, given: list[str]) -> dict[str, str]:
    """The names and values of a repeatable flag. ConfigurationError for one that is no pair."""
    pairs = dict[str, str]()
    for text in given:
        name, equals, value = text.partition("=")
        if not (name and equals and value):
            raise ConfigurationError(f"{flag} {text}: expected {flag} COLUMN=VALUE")
        pairs[name.strip()] = value.strip()
    return pairs


def build_event_table(events: list[dict[str, str | int | None]]) -> Table:
    """Table of rows and share of positives per type, split and scenario."""
    table = Table("type", "split", "scenario", title="Events")
    table.add_column("rows", justify="right")
    table.add_column("positive", justify="right")
    for row in events:
        count, positives = int(row["rows"] or 0), row["positives"]
        share = "" if positives is None else f"{int(positives) / count:.1%}"
        table.add_row(str(row["type"]), str(row["split"] or ""), str(row["scenario_id"]), f"{count:,}", share)
    return table


def erase_command(
    user_id: UserId,
    data: Annotated[str, typer.Option(help="Erase the user from this imported data set, too.")] = "",
) -> None:
    """Erase a user: publish an erasure, as the gateway does, and print the next steps."""
    from export.datasets.storage import DatasetReader
    from services.users.erasure import NEXT_STEPS, NEXT_STEPS_OF_DATA, request_erasure
    from services.users.publish import open_intake

    console, chosen, time_s = open_console(), load_settings(data), time.time()
    directory = DatasetReader(chosen.data_dir / data).path if data else None
    with open_intake(chosen) as intake:
        request_erasure(intake, user_id, time_s)
    console.print(NEXT_STEPS)
    if directory:
        from export.datasets.erasures import add_erasure

        add_erasure(directory, user_id, time_s)
        console.print(NEXT_STEPS_OF_DATA)
