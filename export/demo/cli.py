"""`crossrec demo`. Heavy imports are delayed until the command runs."""

from pathlib import Path
from typing import Annotated

import typer


def demo_command(
    households: Annotated[int, typer.Option(help="Households of the Complete Journey data to take.")] = 500,
    out: Annotated[Path, typer.Option(help="Output directory; removed first.")] = Path("build/demo"),
    stay: Annotated[
        bool | None, typer.Option(help="Keep the servers up at the end. Default: in a terminal.", show_default=False)
    ] = None,
) -> None:
    """Run the whole pipeline on real data: import, train, stream a week of events, rank the next week, compare."""
    from export.demo.main import run_demo

    raise typer.Exit(run_demo(households, out, stay))
