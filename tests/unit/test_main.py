"""The command line as users see it."""

import subprocess
import sys
import tomllib
from collections.abc import Callable
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from export.datasets.cli import build_event_table
from services import commands
from services.commands import CHECKOUT, COMMANDS, CommandUnavailable, MissingPackages, load_command
from services.errors import CrossRecError
from services.main import app, describe_os_error

NAMES = (
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
    for command in NAMES:
        assert f" {command} " in output


@pytest.mark.parametrize("command", NAMES)
def test_every_command_has_help(command: str) -> None:
    """`--help` of a command describes it."""
    code, output = run(command, "--help")
    assert 0 == code
    assert len(output) > 100


def test_help_shows_its_texts_as_they_are() -> None:
    """Names in brackets, too: tables of the settings file."""
    assert "shares and seed of [dataset]." in " ".join(run("evaluate", "--help")[1].split())
    assert not [path for path, command in COMMANDS.items() if load_command(command).rich_markup_mode]


def test_settings_and_schema_are_printed() -> None:
    """The tables name settings and features."""
    assert "kafka.bootstrap_servers" in run("settings")[1]
    assert "item_scenario_activity" in run("schema")[1]


def test_unknown_consumer_lists_the_known_ones() -> None:
    """The error of a typo lists the valid kinds."""
    code, output = run("consume", "behaviour")
    assert 2 == code
    assert "behavior, item, scenario, activity" in output


def test_an_unknown_outcome_lists_the_known_ones() -> None:
    """They are those of the table of event types."""
    code, output = run("attribution", "--outcome", "impression")
    assert 2 == code
    assert "click, add_to_cart, purchase" in output


@pytest.mark.parametrize("path", COMMANDS)
def test_the_table_of_commands_matches_the_commands(path: str) -> None:
    """The table's target exists, and its dependency group is one of pyproject.toml's."""
    command = COMMANDS[path]
    assert load_command(command).help
    groups = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["dependency-groups"]
    assert command.group in {"", *groups}
    assert command.summary.endswith(".")


def fail_with(error: Exception) -> Callable[..., None]:
    """A function that raises the error whatever it is called with."""

    def fail(*_: object) -> None:
        raise error

    return fail


def test_a_missing_package_is_named_with_its_dependency_group(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a serving environment that was built without it: the command exists, its error names what to install."""
    monkeypatch.setattr(commands, "load_command", fail_with(ModuleNotFoundError("no", name="nicegui")))
    result = CliRunner().invoke(app, ["console"])
    assert isinstance(result.exception, MissingPackages)
    assert "`crossrec console` needs the Python package nicegui" in str(result.exception)
    assert "pip install --group console" in str(result.exception)


def test_a_package_that_is_missing_while_a_command_runs_is_named_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands import heavy packages when they run; the packages of a server are in its lock."""
    monkeypatch.setattr("services.doctor.cli.all_checks", fail_with(ModuleNotFoundError("no", name="redis.client")))
    result = CliRunner().invoke(app, ["doctor"])
    assert isinstance(result.exception, MissingPackages)
    assert "redis.client, which is not installed; install deploy/requirements/serving.txt" in str(result.exception)


def test_a_broken_import_of_our_own_is_never_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is an error with a traceback, not a missing package."""
    for error in (ModuleNotFoundError("no", name="services.no_such"), ImportError("cannot import name", name="redis")):
        monkeypatch.setattr(commands, "load_command", fail_with(error))
        assert CliRunner().invoke(app, ["doctor"]).exception is error


def test_benchmarks_need_a_checkout(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """They are not part of the installed package."""
    monkeypatch.setattr(commands, "CHECKOUT", tmp_path)
    result = CliRunner().invoke(app, ["bench", "--help"])
    assert isinstance(result.exception, CommandUnavailable)


@pytest.mark.parametrize("group", [[], ["serve"]])
def test_help_imports_no_command(group: list[str]) -> None:
    """Nor settings, tables, gRPC or any other package that is slow to import."""
    code = (
        "import atexit, sys\n"
        f"sys.argv = ['crossrec', *{group}, '--help']\n"
        "atexit.register(lambda: print(*sys.modules))\n"
        "from services.main import main\n"
        "main()\n"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=CHECKOUT)
    loaded = run.stdout.splitlines()[-1].split()
    assert "services.commands" in loaded
    assert not {"pydantic", "rich", "grpc", "numpy", "services.settings", "services.ranking"} & set(loaded)


def test_a_load_without_requests_or_profile_names_what_is_missing() -> None:
    """The error names the missing options."""
    for arguments, named in ((["--rate", "5"], "--requests"), (["--requests", "none"], "--rate")):
        result = CliRunner().invoke(app, ["load", *arguments])
        assert isinstance(result.exception, CrossRecError)
        assert named in str(result.exception)


def test_a_file_that_cannot_be_written_is_named() -> None:
    """The error of a full disk names none."""
    with pytest.raises(OSError, match="No space left") as caught:
        Path("/dev/full").write_text("x" * 9000)
    assert caught.value.filename is None
    assert "/dev/full: No space left on device" == describe_os_error(caught.value)


def test_an_id_that_looks_like_markup_is_printed_as_it_is() -> None:
    """It used to end tables in a MarkupError."""
    table = build_event_table([{"type": "click", "split": None, "scenario_id": "[/x]", "rows": 1, "positives": 0}])
    console = Console(markup=False, record=True, file=StringIO())
    console.print(table)
    assert "[/x]" in console.export_text()
