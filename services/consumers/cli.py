"""`crossrec consumers ...`: look at the feature consumers from outside, set them back, end what they wait for."""

import json
import time
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from services.settings.load import load_settings

if TYPE_CHECKING:
    from services.consumers.status import GroupStatus

consumers_app = typer.Typer(
    no_args_is_help=True,
    help="Look at the feature consumers: who folds what, and how far behind; set them back; end what they wait for.",
)

MEND_S = 30.0
"""Longest wait for a Kafka that is still loading, seconds."""

_COLOURS = {"Stable": "green", "Empty": "yellow", "absent": "dim", "no topic": "red"}


def consume_command(
    kind: Annotated[str, typer.Argument(help="behavior, item, scenario or activity: whose topic to fold.")],
) -> None:
    """Start a feature consumer: folds a topic into the online store. Start several to share partitions."""
    from services.consumers.kinds import KINDS
    from services.consumers.main import run_consumer

    if kind not in KINDS:
        raise typer.BadParameter(f"{kind}: choose one of {', '.join(KINDS)}", param_hint="KIND")
    run_consumer(kind, load_settings())


@consumers_app.command()
def status(as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False) -> None:
    """Show every kind's consumer group: members, committed offsets, and how far behind it is.

    The lag in seconds is how long the next record to fold has been in Kafka. Joins no group, changes nothing.
    """
    from services.consumers.status import read_groups

    groups = read_groups(load_settings(), time.time())
    if as_json:
        typer.echo(json.dumps([group.as_json() for group in groups], indent=2))
        return
    console = Console()
    console.print(_table(groups))
    for group in groups:
        for member in group.members:
            partitions = ", ".join(map(str, member.partitions)) or "none"
            console.print(f"{group.kind}: {member.member_id} at {member.host}, partitions {partitions}", markup=False)


@consumers_app.command()
def rewind(
    to: Annotated[str, typer.Option(help="Time (UTC, ISO 8601) from which on records are folded, or beginning.")],
    kind: Annotated[str, typer.Option(help="behavior (with the activity that follows from it), item or scenario.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Drop the rows of a kind and rebuild them from the records that Kafka got since a time.

    The kind's consumers must be stopped; start them afterwards. What Kafka no longer has, or got earlier, is not in
    the rebuilt rows: take that from a backfill.
    """
    from services.consumers.rewind import rewind as rewind_kind
    from services.features.schema import build_schema
    from services.settings.times import parse_time_s
    from services.store.connect import open_rows_for_batches

    settings = load_settings()
    to_s = parse_time_s("to", to)
    if not yes:
        typer.confirm(f"Drop all rows that {kind} consumers fold in {settings.store.project}?", abort=True)
    for start in rewind_kind(settings, build_schema(settings.features), open_rows_for_batches(settings), kind, to_s):
        dropped = ", ".join(f"{count:,} of {view}" for view, count in start.dropped.items())
        typer.echo(f"{start.kind}: dropped rows: {dropped}; {start.topic} is folded from {list(start.offsets)} on")


@consumers_app.command()
def mend() -> None:
    """End transactions that Kafka decided and never told the partitions of, for which groups would wait for good.

    A single node (Kafka 4.3) that is killed can leave such. They end as they were decided; others are left alone.
    """
    from services.kafka.hanging_transactions import finish_hanging_transactions

    markers = finish_hanging_transactions(load_settings().kafka, MEND_S)
    typer.echo(f"ended in {markers} partitions" if markers else "no transaction is torn")


def _table(groups: "list[GroupStatus]") -> Table:
    table = Table("kind", "state", "members", "partition", "committed", "end", "lag", "lag, s")
    for column in table.columns[2:]:
        column.justify = "right"
    for group in groups:
        colour = _COLOURS.get(group.state, "yellow")
        state, members = f"[{colour}]{group.state}[/]", str(len(group.members))
        for p in group.partitions:
            committed = "-" if p.committed is None else f"{p.committed:,}"
            table.add_row(
                "", "", "", str(p.partition), committed, f"{p.end:,}", f"{p.lag_records:,}", f"{p.lag_s:,.1f}"
            )
        total = (f"{group.lag_records:,}", f"{group.lag_s:,.1f}") if group.partitions else ("-", "-")
        table.add_row(f"[b]{group.kind}[/]", state, members, "all", "", "", *total, end_section=True)
    return table
