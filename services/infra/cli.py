"""`crossrec infra up|status|down`: the embedded Kafka and Valkey from the command line."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, TypeVar

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from services.errors import CrossRecError
from services.infra import commands
from services.infra.commands import InfraConfig, ServerStatus
from services.settings.terminal import open_console

infra_app = typer.Typer(
    no_args_is_help=True,
    help="Run a real Apache Kafka and a real Valkey on this machine, out of Python packages, on loopback.",
)

DataDir = Annotated[Path, typer.Option("--data-dir", help="Where the servers keep data, logs and their state file.")]
Result = TypeVar("Result")

_COLOURS = {"running": "green", "unresponsive": "yellow", "stopped": "dim"}


@infra_app.command()
def up(
    data_dir: DataDir = Path("data/infra"),
    kafka_port: Annotated[
        int, typer.Option(help="Kafka's port; 0: the last one, else any free one.", min=0, max=65535)
    ] = 0,
    valkey_port: Annotated[
        int, typer.Option(help="Valkey's port; 0: the last one, else any free one.", min=0, max=65535)
    ] = 0,
    kafka_heap_mb: Annotated[int, typer.Option(help="Kafka's heap in MB.", min=128)] = 384,
) -> None:
    """Start Kafka and Valkey and leave them running; does nothing if they run already.

    The first start downloads Kafka (44 MB) into ~/.cache/crossrec, or into CROSSREC_CACHE_DIR. A restart with
    the same data directory keeps topics, keys and, while they are free, the ports.
    """
    config = InfraConfig(data_dir, kafka_port, valkey_port, kafka_heap_mb)
    endpoints = _or_exit(lambda: commands.up(config, _progress))
    console = open_console()
    _print_table(console, commands.status(config))
    if endpoints.started_in_s:
        console.print(f"ready in {endpoints.started_in_s:.1f} s; to use them:")
    else:
        console.print("already running; to use them:")
    # Plain lines, unwrapped, so that they can be pasted or evaluated.
    typer.echo(f"export CROSSREC_KAFKA__BOOTSTRAP_SERVERS={endpoints.kafka_bootstrap}")
    typer.echo(f"export CROSSREC_STORE__URL={endpoints.valkey_address}")


@infra_app.command()
def status(data_dir: DataDir = Path("data/infra")) -> None:
    """Show both servers; exits with 1 unless both run."""
    servers = _or_exit(lambda: commands.status(InfraConfig(data_dir)))
    _print_table(open_console(), servers)
    if any(server.condition != "running" for server in servers):
        raise typer.Exit(1)


@infra_app.command()
def down(data_dir: DataDir = Path("data/infra")) -> None:
    """Stop Kafka and Valkey; data and ports are kept. Stops only processes that `up` started here."""
    stopped = _or_exit(lambda: commands.down(InfraConfig(data_dir), _progress))
    typer.echo(f"stopped {' and '.join(stopped)}" if stopped else "nothing was running")


def _progress(what: str) -> None:
    typer.echo(what, err=True)  # standard output is for the lines to evaluate


def _or_exit(command: Callable[[], Result]) -> Result:
    try:
        return command()
    except CrossRecError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(1) from error


def _print_table(console: Console, servers: tuple[ServerStatus, ...]) -> None:
    table = Table("server", "state", "address", "pid", "log")
    for server in servers:
        colour = _COLOURS[server.condition]
        pid = str(server.pid) if server.pid else "-"
        state = Text(server.condition, colour)
        table.add_row(server.name, state, server.address or "-", pid, str(server.log))
    console.print(table)
