"""The command line: one program that starts every process, the infrastructure, the pipeline and the demo.

Knows flags and wiring; every command's work is a function elsewhere. Heavy imports stay inside commands.
"""

import os
import warnings
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from services.consumers.kinds import KINDS
from services.runtime.errors import CrossRecError
from services.runtime.infra.cli import infra_app
from services.runtime.settings import described, load_settings

app = typer.Typer(
    name="crossrec",
    help=(
        "Cross-scenario recommendations: features kept up to date from Kafka in Feast, models trained on the same "
        "features, ranked over gRPC. Start with `crossrec demo`; `crossrec settings` lists every setting."
    ),
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,
)
serve_app = typer.Typer(help="Start a gRPC server in the foreground: the event gateway or the ranking server.")
app.add_typer(infra_app, name="infra")
app.add_typer(serve_app, name="serve")

console = Console()


@app.callback()
def root(
    config: Annotated[
        Path | None, typer.Option(help="TOML file with settings; the same as CROSSREC_CONFIG.", exists=True)
    ] = None,
) -> None:
    """Choose the settings file for this command and the processes it starts."""
    # kafka-python says this on every start; nothing here can act on it.
    warnings.filterwarnings("ignore", message="(read|open)_text is deprecated", category=DeprecationWarning)
    if config:
        os.environ["CROSSREC_CONFIG"] = str(config.resolve())


def _register_training() -> None:
    try:
        from export.bench.cli import bench_app
        from export.datasets.check_cli import data_app
        from export.datasets.cli import import_command
        from export.evaluation.cli import evaluate_command
        from export.recognition.cli import train_recogniser_command
        from export.training.cli import train_command
        from export.transfer.cli import experiment_app
    except ModuleNotFoundError:  # a serving environment has no training packages
        return
    app.command("import")(import_command)
    app.command("train")(train_command)
    app.command("train-recogniser")(train_recogniser_command)
    app.add_typer(bench_app, name="bench")
    app.add_typer(data_app, name="data")
    app.command("evaluate")(evaluate_command)
    app.add_typer(experiment_app, name="experiment")


_register_training()


@app.command()
def settings() -> None:
    """Print every setting with its value, unit and meaning, and how to set it."""
    table = Table("setting", "value", "default", "meaning")
    for setting in described(load_settings()):
        default = "same" if setting.value == setting.default else str(setting.default)
        table.add_row(setting.name, str(setting.value), default, setting.meaning)
    console.print(table)
    console.print("Set [b]kafka.partitions[/b] by CROSSREC_KAFKA__PARTITIONS or in the file CROSSREC_CONFIG names.")


@app.command()
def schema() -> None:
    """Print the schema table: every stored feature with view, type, unit, half-life and updater."""
    from services.features.schema import build_schema

    built = build_schema(load_settings().features)
    table = Table("view", "feature", "type", "values", "what", "half-life", "updated by")
    for view in built.views:
        for feature in view.features:
            length = {-1: "variable", -2: "1"}.get(feature.length, str(feature.length))
            row = (view.name, feature.name, feature.dtype, length, feature.what, feature.half_life, feature.updated_by)
            table.add_row(*row)
    console.print(table)
    console.print(f"fingerprint {built.fingerprint}")


@app.command()
def setup() -> None:
    """Create the Kafka topics and register the feature views with Feast. Safe to repeat."""
    from services.runtime.topics import create_topics, topic_specs
    from services.store.connect import apply_definitions

    chosen = load_settings()
    kafka = chosen.kafka
    created = create_topics(
        kafka.bootstrap_servers, topic_specs(kafka.topic_prefix, kafka.partitions), kafka.replication_factor
    )
    console.print(f"topics created: {', '.join(created) or 'none, all exist'}")
    apply_definitions(chosen)
    console.print(f"feature views registered in {chosen.store.registry}")


@serve_app.command()
def gateway() -> None:
    """Start the event gateway: takes events over gRPC and stores them in Kafka."""
    from services.gateway.main import run_gateway

    run_gateway(load_settings())


@serve_app.command()
def ranking() -> None:
    """Start the ranking server: ranks items with the newest model of the registry."""
    from services.ranking.main import run_ranking

    run_ranking(load_settings())


@app.command()
def consume(
    kind: Annotated[str, typer.Argument(help="behavior, item, scenario or activity: whose topic to fold.")],
) -> None:
    """Start a feature consumer: folds a topic into the online store. Start several to share partitions."""
    if kind not in KINDS:
        raise typer.BadParameter(f"{kind}: choose one of {', '.join(KINDS)}", param_hint="KIND")
    from services.consumers.main import run_consumer

    run_consumer(kind, load_settings())


DataOption = Annotated[str, typer.Option(help="Name of an imported data set: a directory below data_dir.")]


@app.command()
def replay(
    data: DataOption,
    offline_users: Annotated[float, typer.Option(help="Share of users whose rows go to Feast's offline source.")] = 0.1,
) -> None:
    """Replay a data set through the feature code into training rows and Feast's offline source."""
    from export.replay.cli import replay_data

    replay_data(load_settings(data), data, console, offline_users)


@app.command()
def backfill(
    data: DataOption,
    until: Annotated[datetime | None, typer.Option(help="Fold events before this time (UTC). Default: all.")] = None,
) -> None:
    """Fold a data set's history straight into the online store; streaming goes on from there."""
    from export.datasets.storage import DatasetReader
    from export.pipeline import ensure_encoder, fill_store
    from services.store.connect import open_rows_for_batches

    chosen = load_settings(data)
    reader = DatasetReader(chosen.data_dir / data)
    ensure_encoder(chosen, reader)
    until_s = _utc_s(until) if until else None
    with Progress(transient=True) as progress:
        task = progress.add_task("writing rows", total=None)
        rows = open_rows_for_batches(chosen)
        written = fill_store(
            chosen, reader, rows, until_s, lambda done, total: progress.update(task, completed=done, total=total)
        )
    for view, count in written.items():
        console.print(f"{view}: {count:,} rows")


def _utc_s(time: datetime) -> float:
    from datetime import UTC

    return time.replace(tzinfo=UTC).timestamp()


@app.command()
def demo(
    households: Annotated[int, typer.Option(help="Households of the Complete Journey data to take.")] = 500,
    out: Annotated[Path, typer.Option(help="Directory for everything the demo makes.")] = Path("build/demo"),
    stay: Annotated[
        bool | None, typer.Option(help="Keep the servers up at the end. Default: in a terminal.", show_default=False)
    ] = None,
) -> None:
    """Do the main job on real data: import, train, stream a week of events, rank the next week, compare."""
    from export.demo.main import run_demo

    raise typer.Exit(run_demo(households, out, stay))


def main() -> None:
    """Run the command line; errors that say what is wrong are printed without a traceback."""
    try:
        app()
    except CrossRecError as error:
        Console(stderr=True).print(f"[red]error:[/red] {error}", highlight=False)
        raise SystemExit(1) from None
