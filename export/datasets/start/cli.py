"""`crossrec data start`: looks at files, proposes settings, and says what to do next.

Knows flags and printed output; proposal.py makes the proposal.
"""

import re
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from export.datasets.errors import DatasetError
from export.datasets.start.profile import read_profile
from export.datasets.start.proposal import propose
from export.datasets.start.proposed import Proposal
from export.datasets.start.write import settings_text, write_settings
from services.settings.terminal import open_console

NEXT_STEPS = """\
next:
  export CROSSREC_CONFIG={config}
  crossrec import --out data/{name}
  crossrec data check --data {name}
  crossrec replay --data {name}
  crossrec train --data {name}"""


def start(
    files: Annotated[list[Path], typer.Argument(help="CSV, JSON lines or Parquet files of one data set.")],
    out: Annotated[Path, typer.Option(help="The settings file to write.")] = Path("crossrec.toml"),
    columns: Annotated[
        list[str] | None,
        typer.Option("--map", help="A column that is known, like user_id=who; repeatable. The others are guessed."),
    ] = None,
) -> None:
    """Look at files as they are and propose settings: columns, scenario, label, split, half-lives, attributes.

    Writes a settings file with a comment per line and prints the commands that import, check, replay and train with it.
    Whatever is a guess is said.
    """
    from export.datasets.cli import pairs_of

    if out.exists():
        raise DatasetError(f"{out} exists; give another name: --out other.toml")
    missing = [path for path in files if not path.is_file()]
    if missing:
        raise DatasetError(f"{missing[0]} is not a file")
    console = open_console(highlight=False)
    with console.status("reading"):
        profiles = [read_profile(path) for path in files]
        given = {name: tuple(value.split("+")) for name, value in pairs_of("--map", columns or []).items()}
        proposal = propose(profiles, given)
    name = re.sub(r"[^a-z0-9_]+", "_", files[0].name.partition(".")[0].lower()).strip("_") or "mine"
    proposal.dataset["name"] = (name, "its folder below data_dir: models, text encoder and rows lie there")
    write_settings(settings_text(proposal, out), out)
    print_proposal(console, proposal)
    console.print(f"settings with a comment per line: {out}", soft_wrap=True)
    console.print(NEXT_STEPS.format(config=out.absolute(), name=name), soft_wrap=True)


def print_proposal(console: Console, proposal: Proposal) -> None:
    """Print what each column is taken for, and the guesses."""
    for file in proposal.files:
        table = Table("column", "taken as", "because", title=f"{file.profile.path.name}: {file.role}")
        for kind, columns in file.tables.items():
            for target, (names, why) in columns.items():
                table.add_row(", ".join(names), f"{kind}.{target}", why)
        for name, (value, why) in file.values.items():
            table.add_row("", f"{name} = {value}", why)
        for name in file.unused:
            table.add_row(name, "-", "no use is known")
        console.print(table)
        if not file.profile.complete:
            console.print(f"of the first {file.profile.rows:,} rows")
    for section in (proposal.source, proposal.dataset, proposal.features):
        for name, (value, why) in section.items():
            console.print(f"{name} = {value}: {why}")
    for note in proposal.notes:
        console.print(f"guess: {note}", style="yellow")
