"""Every command of `crossrec`: its name, where it is, what it does, and which dependency group it needs.

Help is made from this table alone; a command's module is imported when the command is called. Knows no flags.
"""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from services.errors import CrossRecError

CHECKOUT = Path(__file__).resolve().parents[1]
OWN_PACKAGES = {"services", "export", "crossrec", "tests"}


class MissingPackages(CrossRecError):
    """A command needs packages that are not installed here."""


class CommandUnavailable(CrossRecError):
    """A command cannot run from this installation."""


class InputEnded(CrossRecError):
    """A file or stream that a command reads ended before it should."""


@dataclass(frozen=True)
class Command:
    """A command, or an app of several.

    Args:
        target: `module:attribute`; a function with typer's annotations, or a typer app.
        summary: one line for `crossrec --help`.
        group: the dependency group (pyproject.toml) that it needs beyond a server's packages; "" for none.
        settings: whether it reads the settings, which are then judged before its packages are loaded.
        dataset: whether it reads what was made of one data set, without an option that names it.
    """

    target: str
    summary: str
    group: str = ""
    settings: bool = True
    dataset: bool = False


GROUPS = {
    "serve": "Start a gRPC server in the foreground.",
    "user": "Export what is stored of a user, set its attributes, or erase it.",
}

COMMANDS = {
    "demo": Command("export.demo.cli:demo_command", "Do the main job on real data, end to end.", "training"),
    "infra": Command(
        "services.infra.cli:infra_app", "Run a real Kafka and a real Valkey on this machine.", "infra", settings=False
    ),
    "setup": Command(
        "services.store.cli:setup_command", "Create Kafka topics and register feature views.", dataset=True
    ),
    "doctor": Command("services.doctor.cli:doctor_command", "Check this machine and what the settings name."),
    "settings": Command("services.settings.cli:settings_command", "Print every setting with its value and meaning."),
    "schema": Command("services.settings.cli:schema_command", "Print every stored feature."),
    "serve gateway": Command("services.gateway.cli:serve_gateway", "Start the event gateway."),
    "serve ranking": Command("services.ranking.cli:serve_ranking", "Start the ranking server.", dataset=True),
    "consume": Command("services.consumers.cli:consume_command", "Start a feature consumer.", dataset=True),
    "consumers": Command("services.consumers.cli:consumers_app", "Show consumer groups; rewind them."),
    "dead-letters": Command(
        "services.consumers.dead_letters.cli:dead_letters_app", "List, repair and replay dead letters."
    ),
    "models": Command("services.registry.cli:models_app", "List, compare, promote and roll back models.", dataset=True),
    "tokens": Command("services.server.security.cli:tokens_app", "Make bearer tokens.", settings=False),
    "health": Command(
        "services.server.health:health_command", "Ask a server whether it serves, as a probe does.", settings=False
    ),
    "user export": Command("services.users.cli:export_command", "Print what the online store holds of a user."),
    "user update": Command("services.users.cli:update_command", "Set the attributes of a user."),
    "user erase": Command("export.datasets.cli:erase_command", "Erase a user from the online store."),
    "load": Command("export.harness.cli:load_command", "Offer load to a ranking server and measure it.", "load"),
    "console": Command(
        "services.console.cli:console_command", "Open a web page on a running system.", "console", dataset=True
    ),
    "data": Command("export.datasets.check.cli:data_app", "Check a data set; write a template.", "training"),
    "import": Command("export.datasets.cli:import_command", "Import a data set.", "training"),
    "replay": Command("export.replay.cli:replay_command", "Replay a data set into training rows.", "training"),
    "backfill": Command("export.replay.cli:backfill_command", "Fold a data set into the online store.", "training"),
    "train": Command("export.training.cli:train_command", "Train, evaluate and register models.", "training"),
    "train-recogniser": Command(
        "export.recognition.cli:train_recogniser_command", "Train and register the scenario recogniser.", "training"
    ),
    "evaluate": Command("export.evaluation.cli:evaluate_command", "Compare models on the test rows.", "training"),
    "experiment": Command("export.experiments.cli:experiment_app", "Measure transfer and features.", "training"),
    "skew": Command("export.monitoring.skew.cli:skew_command", "Compare served with replayed features.", "training"),
    "attribution": Command(
        "export.monitoring.attribution.cli:attribution_command", "Join answers to what users did.", "training"
    ),
    "bench": Command("tests.bench.cli:bench_app", "Run a benchmark (from a checkout).", "training"),
}


class LazyCommand(TyperCommand):
    """Stands in for a command until it is called: has its name and its summary."""

    def __init__(self, name: str, command: Command) -> None:
        super().__init__(name, callback=None, help=command.summary, short_help=command.summary)
        self._command = command

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        """The context of the loaded command, which then runs in place of this one; judges the settings first."""
        if self._command.settings and "--help" not in args:
            from services.settings.load import load_settings
            from services.settings.places import require_dataset

            settings = load_settings()
            if self._command.dataset:
                require_dataset(settings)
        return load_command(self._command).make_context(info_name, args, parent, **extra)


class CommandGroup(TyperGroup):
    """`crossrec` itself: all commands of the table. Names the dependency group where a package is missing."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self.commands = lazy_commands(COMMANDS, GROUPS)

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Options before the command, if there are any: typer loads pydantic for each, which help does not wait for."""
        if not args or args[0].startswith("-"):
            return super().parse_args(ctx, args)
        ctx._protected_args, ctx.args = args[:1], args[1:]
        return list(ctx.args)

    def invoke(self, ctx: Any) -> Any:
        """Run the command. Raises MissingPackages for a package that is not installed; never for one of our own.

        Raises InputEnded for an EOFError: click would take it for an interrupt and print `Aborted.`.
        """
        path = command_path([*ctx._protected_args, *ctx.args])
        try:
            return super().invoke(ctx)
        except ModuleNotFoundError as error:
            if error.name is None or error.name.partition(".")[0] in OWN_PACKAGES:
                raise
            raise MissingPackages(missing_text(path, error.name)) from error
        except EOFError as error:
            raise InputEnded(f"`crossrec {path}`: a file or stream ended too early: {error}") from error


def lazy_commands(commands: Mapping[str, Command], groups: Mapping[str, str]) -> dict[str, Any]:
    """Stand-ins by name for a table's commands; those whose path has two words are in a group of the first."""
    found: dict[str, Any] = {}
    for path, command in commands.items():
        group, _, name = path.rpartition(" ")
        if group and group not in found:
            found[group] = TyperGroup(name=group, help=groups[group], no_args_is_help=True, rich_markup_mode=None)
        (found[group].commands if group else found)[name] = LazyCommand(name, command)
    return found


def load_command(command: Command) -> Any:
    """Import a command's module and make it a command. Raises CommandUnavailable for a benchmark without a checkout."""
    module, _, attribute = command.target.partition(":")
    if module.startswith("tests."):
        if not (CHECKOUT / "tests" / "bench").is_dir():
            raise CommandUnavailable("`crossrec bench` runs from a checkout of the repository; here is none")
        sys.path.insert(0, str(CHECKOUT))
    found = getattr(import_module(module), attribute)
    if not isinstance(found, typer.Typer):
        app = typer.Typer(add_completion=False)
        app.command()(found)
        found = app
    found.rich_markup_mode = None  # rich takes [dataset] in a help text for markup
    return typer.main.get_command(found)


def command_path(arguments: Sequence[str]) -> str:
    """The path in the table of the command that the arguments call; "" if they call none."""
    return next((path for n in (2, 1) if (path := " ".join(arguments[:n])) in COMMANDS), "")


def missing_text(path: str, package: str) -> str:
    """What is missing for a command, and how to install it."""
    group = COMMANDS[path].group if path else ""
    how = f"the dependency group `{group}`: pip install --group {group}" if group else "deploy/requirements/serving.txt"
    return f"`crossrec {path}` needs the Python package {package}, which is not installed; install {how}"
