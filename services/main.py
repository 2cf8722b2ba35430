"""The command line: one program that starts every process, the infrastructure, the pipeline and the demo.

Knows flags and wiring; every command's work is a function elsewhere. Heavy imports stay inside commands.
"""

import os
import time
import warnings
from datetime import datetime
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from services.consumers.cli import consumers_app
from services.consumers.dead_letters.cli import dead_letters_app
from services.consumers.kinds import KINDS
from services.doctor.cli import doctor_command
from services.errors import CrossRecError
from services.infra.cli import infra_app
from services.registry.cli import models_app
from services.server.health import health_command
from services.server.logging import quiet_grpc
from services.server.security.cli import tokens_app
from services.settings.load import described, load_settings
from services.settings.times import utc_seconds
from services.store.setup import setup_command
from services.users.cli import UserId, user_app

if TYPE_CHECKING:
    from crossrec.ranking.v1.ranking_pb2 import RankRequest
    from services.load.workload import Shape

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
app.add_typer(consumers_app, name="consumers")
app.add_typer(dead_letters_app, name="dead-letters")
app.add_typer(user_app, name="user")
app.add_typer(serve_app, name="serve")
app.add_typer(tokens_app, name="tokens")
app.command("doctor")(doctor_command)
app.command("health")(health_command)
app.command("setup")(setup_command)
app.add_typer(models_app, name="models")

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
    quiet_grpc()  # commands import grpc, this module does not
    if config:
        os.environ["CROSSREC_CONFIG"] = str(config.resolve())


def _register_training() -> None:
    try:
        from export.datasets.check.cli import data_app
        from export.datasets.cli import import_command
        from export.evaluation.cli import evaluate_command
        from export.experiments.cli import experiment_app
        from export.monitoring.attribution.cli import attribution_command
        from export.monitoring.skew.cli import skew_command
        from export.recognition.cli import train_recogniser_command
        from export.training.cli import train_command
        from tests.bench.cli import bench_app
    except ModuleNotFoundError:  # a serving environment has no training packages
        return
    app.command("import")(import_command)
    app.command("train")(train_command)
    app.command("train-recogniser")(train_recogniser_command)
    app.add_typer(bench_app, name="bench")
    app.add_typer(data_app, name="data")
    app.command("evaluate")(evaluate_command)
    app.add_typer(experiment_app, name="experiment")
    app.command("skew")(skew_command)
    app.command("attribution")(attribution_command)


_register_training()


def _register_load() -> None:
    if not all(find_spec(package) for package in ("hdrh", "jinja2", "matplotlib")):
        return  # a serving environment may lack the packages of the load client
    from services.load.cli import load_command_with

    app.command("load")(load_command_with(_requests_of_data))


def _requests_of_data(data: str, shape: "Shape") -> "list[RankRequest]":
    from export.datasets.storage import DatasetReader
    from export.harness.data_requests import data_requests

    return data_requests(DatasetReader(load_settings(data).data_dir / data), shape)


_register_load()


def _register_console() -> None:
    if not find_spec("nicegui"):
        return  # a serving environment may lack the packages of the console
    from services.console.cli import console_command

    app.command("console")(console_command)


_register_console()


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


@serve_app.command()
def gateway() -> None:
    """Start the event gateway: takes events over gRPC and stores them in Kafka."""
    from services.gateway.main import run_gateway

    run_gateway(load_settings())


@serve_app.command()
def ranking() -> None:
    """Start the ranking server: ranks with what `models` promoted in the registry, or the newest version."""
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
    stream_from: Annotated[
        str,
        typer.Option(
            help="Where streaming goes on: end (the history holds all that Kafka got until now), beginning (it holds "
            "nothing of it), or the time (UTC, ISO 8601) from which on Kafka got what the history does not hold."
        ),
    ] = "end",
    workers: Annotated[int, typer.Option(min=0, help="Processes side by side; 0: one per core.")] = 0,
) -> None:
    """Fold a data set's history straight into the online store; streaming goes on from there.

    Consumers must be stopped. The position from which they go on is recorded in the store.
    """
    from export.datasets.storage import DatasetReader
    from export.replay.backfill import fill_store
    from export.replay.backfill_position import stream_on
    from export.replay.pipeline import ensure_encoder
    from services.store.connect import open_rows_for_batches

    chosen = load_settings(data)
    reader = DatasetReader(chosen.data_dir / data)
    ensure_encoder(chosen, reader)
    begun = time.monotonic()
    with console.status("folding the history"):
        starts = stream_on(chosen, open_rows_for_batches(chosen), stream_from)
        filled = fill_store(chosen, reader.path, utc_seconds(until) if until else float("inf"), workers)
    for view, count in filled.rows.items():
        console.print(f"{view}: {count:,} rows")
    console.print(f"{filled.events:,} events folded in {time.monotonic() - begun:.1f} s")
    for topic, offsets in starts.items():
        console.print(f"streaming of {topic} goes on at offsets {', '.join(map(str, offsets))}")


@user_app.command("erase")
def erase_user(
    user_id: UserId,
    data: Annotated[str, typer.Option(help="Leave the user out of this imported data set from now on, too.")] = "",
) -> None:
    """Have a user forgotten: publish an erasure, as the gateway does, and say what happens next."""
    from services.gateway.main import build_intake
    from services.kafka.kafka_publisher import KafkaPublisher
    from services.users.erasure import NEXT_STEPS, NEXT_STEPS_OF_DATA, request_erasure

    chosen, time_s = load_settings(data), time.time()
    directory = _data_set(chosen.data_dir / data) if data else None
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


def _data_set(directory: Path) -> Path:
    from export.datasets.storage import DatasetReader

    return DatasetReader(directory).path


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
