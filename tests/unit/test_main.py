"""The command line as a user meets it."""

import pytest
import typer
from typer.testing import CliRunner

from services import main
from services.errors import CrossRecError
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
    "skew",
    "attribution",
    "backfill",
    "demo",
    "infra",
    "models",
    "serve",
    "bench",
    "load",
    "console",
    "doctor",
    "health",
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


def test_without_its_packages_there_is_no_load_command(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a serving environment that was built without them."""
    for found, names in ((object(), ["load"]), (None, [])):
        bare = typer.Typer()
        monkeypatch.setattr(main, "app", bare)
        monkeypatch.setattr(main, "find_spec", lambda _, found=found: found)
        main._register_load()
        assert names == [command.name for command in bare.registered_commands]


def test_a_load_without_requests_or_profile_names_what_is_missing() -> None:
    """The options that would be needed."""
    for arguments, named in ((["--rate", "5"], "--requests"), (["--requests", "none"], "--rate")):
        result = CliRunner().invoke(app, ["load", *arguments])
        assert isinstance(result.exception, CrossRecError)
        assert named in str(result.exception)
