"""The command line as a user meets it."""

import pytest
from typer.testing import CliRunner

from services.main import app

COMMANDS = (
    "import",
    "data",
    "settings",
    "schema",
    "setup",
    "consume",
    "replay",
    "train",
    "train-recogniser",
    "evaluate",
    "backfill",
    "demo",
    "infra",
    "models",
    "serve",
    "bench",
    "user",
)


def run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, list(arguments), env={"COLUMNS": "200", "NO_COLOR": "1"})
    return result.exit_code, result.output


def test_help_lists_every_command() -> None:
    """`crossrec --help` names all commands."""
    code, output = run("--help")
    assert 0 == code
    for command in COMMANDS:
        assert f" {command} " in output


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command: str) -> None:
    """`--help` of a command says what it does."""
    code, output = run(command, "--help")
    assert 0 == code
    assert len(output) > 100


def test_settings_and_schema_are_printed() -> None:
    """The tables name settings and features."""
    assert "kafka.bootstrap_servers" in run("settings")[1]
    assert "item_scenario_activity" in run("schema")[1]


def test_unknown_consumer_lists_the_known_ones() -> None:
    """A typo shows what there is."""
    code, output = run("consume", "behaviour")
    assert 2 == code
    assert "behavior, item, scenario, activity" in output
