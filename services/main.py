"""The command line: chooses the settings file, runs a command of the table, prints errors without a traceback."""

import os
import warnings
from pathlib import Path
from typing import Annotated

import typer

from services.commands import CommandGroup
from services.errors import CrossRecError
from services.server.logging import quiet_grpc

# Plain help: to draw boxes around it takes longer than all the rest.
app = typer.Typer(
    name="crossrec",
    cls=CommandGroup,
    help=(
        "Cross-scenario recommendations: features kept up to date from Kafka in Feast, models trained on the same "
        "features, ranked over gRPC. Start with `crossrec demo`; `crossrec settings` lists every setting."
    ),
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_show_locals=False,
)


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


def main() -> None:
    """Run the command line; errors that say what is wrong are printed without a traceback."""
    try:
        app()
    except CrossRecError as error:
        from rich.console import Console

        Console(stderr=True).print(f"[red]error:[/red] {error}", highlight=False)
        raise SystemExit(1) from None
