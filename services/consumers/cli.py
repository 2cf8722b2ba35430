"""`crossrec consumers ...`: status and lag of the feature consumers, rewinds, hanging transactions."""

import json
import time
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table
from rich.text import Text

from services.settings.load import load_settings
from services.settings.terminal import open_console

if TYPE_CHECKING:
    from services.consumers.status import GroupStatus

consumers_app = typer.Typer(
    no_args_is_help=True,
    help="Show status and lag of the feature consumers; rewind them; finish hanging transactions that block them.",
)

LOADING_S = 30.0
"""Longest wait for a Kafka that is still loading, seconds."""

_COLOURS = {"Stable": "green", "Empty": "yellow", "absent": "dim", "no topic": "red"}


def consume_command(
    kind: Annotated[str, typer.Argument(help="behavior, item, scenario or activity: whose topic to fold.")],
) -> None:
    """Start a feature consumer: folds a topic into the online store. Start several to share partitions."""
    from services.server.logging import announce
    from services.settings.processes import CONSUMER_KINDS

    if kind not in CONSUMER_KINDS:
        raise typer.BadParameter(f"{kind}: choose one of {', '.join(CONSUMER_KINDS)}", param_hint="KIND")
    settings = load_settings()
    announce("consumer_starting", kind=kind)
    from services.consumers.main import run_consumer

    run_consumer(kind, settings)


@consumers_app.command()
def status(as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False) -> None:
    """Show the consumer group of every kind: members, committed offsets, and lag.

    The lag in seconds is the time since the next record to fold was appended. Joins no group, changes nothing.
    """
    from services.consumers.status import read_groups

    groups = read_groups(load_settings(), time.time())
    if as_json:
        typer.echo(json.dumps([group.as_json() for group in groups], indent=2))
        return
    console = open_console()
    console.print(_table(groups))
    for group in groups:
        for member in group.members:
            partitions = ", ".join(map(str, member.partitions)) or "none"
            console.print(f"{group.kind}: {member.member_id} at {member.host}, partitions {partitions}")
        for partition in group.partitions:
            if partition.unreadable:
                console.print(f"{group.kind}: partition {partition.partition} stands: {partition.unreadable}")


@consumers_app.command()
def rewind(
    to: Annotated[str, typer.Option(help="Time (UTC, ISO 8601) from which on records are folded, or beginning.")],
    kind: Annotated[str, typer.Option(help="behavior (with the activity that follows from it), item or scenario.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Drop the rows of a kind and rebuild them from the records that Kafka got since a time.

    The kind's consumers must be stopped; start them afterwards. Records that have expired in Kafka, or that it got
    earlier, are not in the rebuilt rows: add them with a backfill.
    """
    from services.consumers.rewind import rewind as rewind_kind
    from services.features.schema import build_schema
    from services.settings.times import parse_time_s
    from services.store.connect import open_rows_for_batches

    settings = load_settings()
    to_s = parse_time_s("to", to)
    if not yes:
        typer.confirm(f"Drop all rows that {kind} consumers fold in {settings.store.project}?", abort=True)
    for done in rewind_kind(settings, build_schema(settings.features), open_rows_for_batches(settings), kind, to_s):
        dropped = ", ".join(f"{count:,} of {view}" for view, count in done.dropped.items())
        typer.echo(f"{done.kind}: dropped rows: {dropped}; {done.topic} is folded from {list(done.offsets)} on")


@consumers_app.command()
def skip(
    kind: Annotated[str, typer.Option(help="behavior, item, scenario or activity.")],
    partition: Annotated[int, typer.Option(help="Number of the partition that stands, as `status` shows it.", min=0)],
    to: Annotated[int | None, typer.Option(help="Offset to continue from; default: the one after the batch.")] = None,
) -> None:
    """Pass over the batch that cannot be read and at which a partition stands; it becomes a dead letter.

    Only for damage that no replica can repair: a missing codec needs its package, not this. The kind's consumers must
    be stopped; start them afterwards.
    """
    from services.consumers.skip import skip_batch
    from services.store.connect import open_rows_for_batches

    settings = load_settings()
    batch = skip_batch(settings, open_rows_for_batches(settings), kind, partition, to)
    typer.echo(f"skipped {batch.describe()}; {len(batch.raw):,} bytes are a dead letter")


@consumers_app.command()
def abort_hanging_transactions() -> None:
    """Finish transactions that Kafka has ended without writing their markers, which blocks consumer groups forever.

    A killed single node (Kafka 4.3) can leave some. Each is committed or aborted as Kafka had decided; transactions
    that are still open are left as they are.
    """
    from services.kafka.hanging_transactions import finish_hanging_transactions

    markers = finish_hanging_transactions(load_settings().kafka, LOADING_S)
    typer.echo(f"finished in {markers} partitions" if markers else "no transaction hangs")


def _table(groups: "list[GroupStatus]") -> Table:
    table = Table("kind", "state", "members", "partition", "committed", "end", "lag", "lag, s")
    for column in table.columns[2:]:
        column.justify = "right"
    for group in groups:
        colour = _COLOURS.get(group.state, "yellow")
        state, members = Text(group.state, colour), str(len(group.members))
        for p in group.partitions:
            committed = "-" if p.committed is None else f"{p.committed:,}"
            table.add_row(
                "", "", "", str(p.partition), committed, f"{p.end:,}", f"{p.lag_records:,}", f"{p.lag_s:,.1f}"
            )
        total = (f"{group.lag_records:,}", f"{group.lag_s:,.1f}") if group.partitions else ("-", "-")
        table.add_row(Text(group.kind, "bold"), state, members, "all", "", "", *total, end_section=True)
    return table
