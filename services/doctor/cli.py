"""`crossrec doctor`: runs the checks and prints them; knows flags and output."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from services.doctor.check import Check, CheckState, exit_code
from services.settings.load import Settings, load_settings
from services.settings.terminal import open_console

COLOURS = {CheckState.OK: "green", CheckState.WARNING: "yellow", CheckState.WRONG: "red"}


def doctor_command(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, a list of checks, instead of a table.")] = False,
) -> None:
    """Check whether this machine has what the settings require, and print what to do about what is missing.

    Checks ONNX Runtime's providers (by creating a session with each), CUDA, processor, limits, packages, Kafka, the
    online store, Feast's registry, the model and the text encoder. Exits with 1 if something that the settings require
    is missing.
    """
    checks = list(all_checks(load_settings()))
    if as_json:
        typer.echo(json.dumps([asdict(check) for check in checks], indent=2))
    else:
        open_console().print(table(checks))
    raise typer.Exit(exit_code(checks))


def all_checks(settings: Settings) -> Iterator[Check]:
    """Every check, in the order in which they are printed."""
    from services.doctor.execution import execution_checks
    from services.doctor.machine import machine_checks
    from services.doctor.protection import protection_checks
    from services.doctor.reach import reach_checks

    yield from execution_checks(settings.ranking.providers, settings.ranking.provider_options)
    yield from machine_checks()
    yield from protection_checks(settings)
    yield from reach_checks(settings)


def table(checks: Sequence[Check]) -> Table:
    """The checks as a table."""
    result = Table("", "check", "found", "what to do")
    for check in checks:
        result.add_row(Text(check.state, COLOURS[check.state]), check.name, check.found, check.advice)
    return result
