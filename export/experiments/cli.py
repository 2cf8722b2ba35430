"""`crossrec experiment`: measures transfer, sources and feature groups by training repeatedly on the same rows.

Knows flags, the printed tables, and the result files: `<data_dir>/<data>/experiments/<name>.json`.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from export.models.kinds import KINDS
from services.settings.load import load_settings
from services.settings.terminal import open_console

if TYPE_CHECKING:
    from export.experiments.fits import Experiment, ResultRow
    from export.experiments.run import RemainingWork
    from export.experiments.trainer import RowsTrainer

experiment_app = typer.Typer(
    help="Measure the effect of transfer, source scenarios and feature groups. Finished fits are kept: an interrupted "
    "experiment resumes, and more seeds only add their own fits.",
    no_args_is_help=True,
)
console = open_console()

Data = Annotated[str, typer.Option(help="Name of a replayed data set: a directory below data_dir.")]
Seeds = Annotated[int, typer.Option(min=1, help="Repetitions; each draws other users, rows and initial weights.")]
Epochs = Annotated[int, typer.Option(min=1, help="Most passes over the training rows of a fit.")]
UserShare = Annotated[float, typer.Option(min=0, max=1, help="Share of the users whose rows are trained on.")]
Model = Annotated[str, typer.Option(help=f"Kind of model: {', '.join(KINDS)}.")]
Device = Annotated[str, typer.Option(help="PyTorch device, like cpu or cuda.")]
Targets = Annotated[list[str] | None, typer.Option("--target", help="Target scenario; may be repeated. Default: all.")]
Restart = Annotated[bool, typer.Option("--restart", help="Discard finished fits of an earlier run.")]


@dataclass(frozen=True)
class ExperimentOptions:
    """Options of all experiments."""

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
    from export.experiments.groups import scenario_identifying_features
    from export.experiments.scarcity import Scarcity

    options = ExperimentOptions(data, model, epochs, user_share, device, restart)
    trainer = _trainer(options)
    hidden = scenario_identifying_features(trainer.tensors)
    chosen = Scarcity(model, trainer.select_targets(target), trainer.training_targets, hidden, seeds, user_share)
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
    """Set each source scenario's transfer weight to 0, after training and in training."""
    from export.experiments.sources import Sources

    options = ExperimentOptions(data, model, epochs, user_share, device, restart)
    trainer = _trainer(options)
    trainer.require_transfer(model)
    _run(Sources(model, trainer.sources, trainer.test_targets, seeds, user_share).experiment(), trainer, options)


@experiment_app.command()
def ablation(
    data: Data,
    seeds: Seeds = 3,
    epochs: Epochs = 4,
    user_share: UserShare = 1.0,
    model: Model = "neural",
    cumulative: Annotated[
        bool, typer.Option("--cumulative", help="Also train on each group together with those before it.")
    ] = False,
    device: Device = "cpu",
    restart: Restart = False,
) -> None:
    """Train without each group of features."""
    from export.experiments.ablation import Ablation
    from export.experiments.groups import feature_groups

    options = ExperimentOptions(data, model, epochs, user_share, device, restart)
    trainer = _trainer(options)
    chosen = Ablation(model, feature_groups(trainer.tensors), seeds, user_share, cumulative)
    _run(chosen.experiment(), trainer, options)


def _trainer(options: ExperimentOptions) -> "RowsTrainer":
    from export.experiments.trainer import RowsTrainer
    from export.rows.provenance import require_current_rows

    settings = load_settings(options.data)
    require_current_rows(settings, options.data)
    return RowsTrainer(_directory(options) / "rows", options.epochs, options.device)


def _directory(options: ExperimentOptions) -> Path:
    return load_settings(options.data).data_dir / options.data


def _run(experiment: "Experiment", trainer: "RowsTrainer", options: ExperimentOptions) -> None:
    """Print the remaining work, run it, and print the results."""
    from export.experiments.results import ExperimentResults
    from export.experiments.run import remaining_work, run_experiment

    settings = {
        "data": options.data,
        "model": options.model,
        "epochs": options.epochs,
        "user_share": options.user_share,
        "schema_fingerprint": trainer.info["schema_fingerprint"],
        "counts": trainer.info["counts"],
        "digest": trainer.info["data"].get("digest"),
        "code": trainer.info.get("code"),
    }
    path = _directory(options) / "experiments" / f"{experiment.name}.json"
    results = ExperimentResults(path, settings, restart=options.restart)
    _print_remaining("planned", remaining_work(experiment, trainer, results))
    rows = run_experiment(experiment, trainer, results, _print_remaining)
    console.print(result_table(experiment.name, rows))
    console.print(f"written to {path}", highlight=False)


def _print_remaining(event: str, work: "RemainingWork") -> None:
    source = "measured" if work.measured else "assumed; measured after the first fit"
    console.print(
        f"{event}: {work.done} fits done, {work.fits} left; at most {work.row_passes:,} rows through the network, "
        f"about {work.seconds / 60:.1f} min ({source})",
        highlight=False,
    )


def result_table(name: str, rows: list["ResultRow"]) -> Table:
    """Table of the result rows, without the values of single seeds and sources."""
    columns = [column for column in (rows[0] if rows else {}) if column not in {"seeds", "shares"}]
    table = Table(*columns, title=name)
    for row in rows:
        table.add_row(*(_cell(column, row[column]) for column in columns))
    return table


def _cell(column: str, value: object) -> str:
    if value is None:
        return "-"
    if not isinstance(value, float):
        return str(value)
    if column == "fraction":
        return f"{value:.0%}"
    return f"{value:+.4f}" if column.endswith("_change") else f"{value:.4f}"
