"""`crossrec experiment`: what transfer and features bring, measured by fitting again and again on the same rows.

Knows flags, what is printed, and where results go: `<data_dir>/<data>/experiments/<name>.json`.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from services.settings.load import load_settings

if TYPE_CHECKING:
    from export.experiments.fits import Experiment, Row
    from export.experiments.run import Plan
    from export.experiments.trainer import RunTrainer

experiment_app = typer.Typer(
    help="Measure what transfer, sources and features bring. Finished fits are kept: an experiment "
    "that was stopped goes on, and more seeds are added to it.",
    no_args_is_help=True,
)
console = Console()

Data = Annotated[str, typer.Option(help="Name of a replayed data set: a directory below data_dir.")]
Seeds = Annotated[int, typer.Option(min=1, help="Repetitions; each takes other users, rows and weights.")]
Epochs = Annotated[int, typer.Option(min=1, help="Most passes over the training rows of a fit.")]
UserShare = Annotated[float, typer.Option(min=0, max=1, help="Share of the users that are trained on.")]
Model = Annotated[str, typer.Option(help="Kind of model.")]
Device = Annotated[str, typer.Option(help="PyTorch device, like cpu or cuda.")]
Targets = Annotated[list[str] | None, typer.Option("--target", help="Target scenario; may be repeated. Default: all.")]
Restart = Annotated[bool, typer.Option("--restart", help="Drop finished fits of an earlier run.")]


@dataclass(frozen=True)
class Options:
    """What all experiments are told."""

    data: str
    model: str
    epochs: int
    user_share: float
    device: str
    restart: bool


@experiment_app.command()
def scarcity(
    data: Data,
    seeds: Seeds = 3,
    epochs: Epochs = 4,
    user_share: UserShare = 1.0,
    model: Model = "neural",
    target: Targets = None,
    device: Device = "cpu",
    restart: Restart = False,
) -> None:
    """Train with 0, 1, 2, 5, 10 and 100 % of a target scenario's rows: jointly, alone, and pooled."""
    from export.experiments.groups import telling_scenario
    from export.experiments.scarcity import Scarcity

    options = Options(data, model, epochs, user_share, device, restart)
    trainer = _trainer(options)
    untold = telling_scenario(trainer.tensors)
    chosen = Scarcity(model, trainer.chosen(target), trainer.trained, untold, seeds, user_share)
    _run(chosen.experiment(), trainer, options)


@experiment_app.command()
def sources(
    data: Data,
    seeds: Seeds = 3,
    epochs: Epochs = 4,
    user_share: UserShare = 1.0,
    model: Model = "neural",
    device: Device = "cpu",
    restart: Restart = False,
) -> None:
    """Take each source scenario's transfer weight away, after training and before."""
    from export.experiments.sources import Sources

    options = Options(data, model, epochs, user_share, device, restart)
    trainer = _trainer(options)
    trainer.need_transfer(model)
    _run(Sources(model, trainer.sources, trainer.tested, seeds, user_share).experiment(), trainer, options)


@experiment_app.command()
def ablation(
    data: Data,
    seeds: Seeds = 3,
    epochs: Epochs = 4,
    user_share: UserShare = 1.0,
    model: Model = "neural",
    cumulative: Annotated[bool, typer.Option("--cumulative", help="Also train on the groups up to each.")] = False,
    device: Device = "cpu",
    restart: Restart = False,
) -> None:
    """Train without each group of features."""
    from export.experiments.ablation import Ablation
    from export.experiments.groups import feature_groups

    options = Options(data, model, epochs, user_share, device, restart)
    trainer = _trainer(options)
    chosen = Ablation(model, feature_groups(trainer.tensors), seeds, user_share, cumulative)
    _run(chosen.experiment(), trainer, options)


def _trainer(options: Options) -> "RunTrainer":
    from export.experiments.trainer import RunTrainer

    return RunTrainer(_directory(options) / "rows", options.epochs, options.device)


def _directory(options: Options) -> Path:
    return load_settings(options.data).data_dir / options.data


def _run(experiment: "Experiment", trainer: "RunTrainer", options: Options) -> None:
    """Say what there is to do, do it, and print the rows."""
    from export.experiments.results import Results
    from export.experiments.run import plan, run

    settings = {
        "data": options.data,
        "model": options.model,
        "epochs": options.epochs,
        "user_share": options.user_share,
        "schema_fingerprint": trainer.info["schema_fingerprint"],
        "counts": trainer.info["counts"],
    }
    path = _directory(options) / "experiments" / f"{experiment.name}.json"
    results = Results(path, settings, restart=options.restart)
    _say("to do", plan(experiment, trainer, results))
    rows = run(experiment, trainer, results, _say)
    _print(experiment.name, rows)
    console.print(f"written to {path}", highlight=False)


def _say(what: str, left: "Plan") -> None:
    told = "measured" if left.measured else "assumed; measured after the first fit"
    console.print(
        f"{what}: {left.done} fits done, {left.fits} left; at most {left.row_passes:,} rows through the network, "
        f"about {left.seconds / 60:.1f} min ({told})",
        highlight=False,
    )


def _print(name: str, rows: list["Row"]) -> None:
    """A table of everything but the values of single seeds."""
    shown = [column for column in (rows[0] if rows else {}) if column != "seeds"]
    table = Table(*shown, title=name)
    for row in rows:
        table.add_row(*(_cell(column, row[column]) for column in shown))
    console.print(table)


def _cell(column: str, value: object) -> str:
    if not isinstance(value, float):
        return str(value)
    if column == "fraction":
        return f"{value:.0%}"
    return f"{value:+.4f}" if column.endswith("_change") else f"{value:.4f}"
