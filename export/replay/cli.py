"""`crossrec replay` and `crossrec backfill`: replay history into training rows, or into the online store.

Knows flags and printed output; heavy imports are delayed until a command runs.
"""

import time
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from services.settings.load import load_settings
from services.settings.terminal import open_console
from services.settings.times import utc_seconds

if TYPE_CHECKING:
    from services.settings.load import Settings

OFFLINE_USERS = 0.1
"""Default share of users whose rows go to Feast's offline source."""

DataOption = Annotated[str, typer.Option(help="Name of an imported data set: a directory below data_dir.")]


def replay_command(
    data: DataOption,
    offline_users: Annotated[
        float, typer.Option(help="Share of users whose rows go to Feast's offline source; at least about 10 users.")
    ] = OFFLINE_USERS,
) -> None:
    """Replay a data set through the feature code into training rows and Feast's offline source."""
    replay_data(load_settings(data), data, open_console(), offline_users)


def replay_data(settings: "Settings", data: str, console: Console, offline_users: float = OFFLINE_USERS) -> None:
    """Replay an imported data set into training rows and Feast's offline source, and print their location."""
    from export.datasets.storage import DatasetReader
    from export.replay.pipeline import ensure_encoder, replay_rows
    from export.replay.progress import replay_progress

    directory = settings.data_dir / data
    reader = DatasetReader(directory)
    ensure_encoder(settings, reader, console.print)
    with replay_progress() as report:
        recorded, users = replay_rows(settings, reader, directory / "rows", offline_users, report)
    console.print(f"training rows in {directory / 'rows'}")
    console.print(f"rows of {recorded:,} of {users:,} users in Feast's offline source {settings.store.offline_dir}")


def backfill_command(
    data: DataOption,
    until: Annotated[datetime | None, typer.Option(help="Fold events before this time (UTC). Default: all.")] = None,
    stream_from: Annotated[
        str,
        typer.Option(
            help="Where streaming continues: end (the history contains all records now in Kafka), beginning (it "
            "contains none of them), or a time (UTC, ISO 8601): later records are not in the history."
        ),
    ] = "end",
    workers: Annotated[
        int, typer.Option(min=0, help="Number of processes; 0: at most one per core, fewer for few events.")
    ] = 0,
) -> None:
    """Fold a data set's history directly into the online store; streaming continues from there.

    Consumers must be stopped. The offsets at which they continue are recorded in the store.
    """
    from export.datasets.storage import DatasetReader
    from export.replay.backfill import check_history, fill_store
    from export.replay.backfill_position import stream_on
    from export.replay.pipeline import ensure_encoder
    from services.store.connect import open_rows_for_batches

    console, chosen = open_console(), load_settings(data)
    reader = DatasetReader(chosen.data_dir / data)
    check_history(chosen, reader)  # before the offsets are set
    ensure_encoder(chosen, reader, console.print)
    begun = time.monotonic()
    console.print(f"folding {reader.rows('events'):,} events")
    with console.status("folding the history"):
        starts = stream_on(chosen, open_rows_for_batches(chosen), stream_from)
        filled = fill_store(chosen, reader.path, utc_seconds(until) if until else float("inf"), workers)
    for view, count in filled.rows.items():
        console.print(f"{view}: {count:,} rows")
    console.print(f"{filled.events:,} events folded in {time.monotonic() - begun:.1f} s")
    for topic, offsets in starts.items():
        console.print(f"streaming of {topic} continues at offsets {', '.join(map(str, offsets))}")
