"""`crossrec train-recogniser`: trains what recognises the scenario of a request that names none.

Knows flags and how the comparison looks; heavy imports wait until the command runs.
"""

from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

COLUMNS = ("accuracy", "macro_f1", "log_loss", "ece", "ece_classwise")


def train_recogniser_command(
    data: Annotated[str, typer.Option(help="Name of an imported data set: a directory below data_dir.")],
    samples: Annotated[int, typer.Option(min=1, help="Most moments to take, at random.")] = 60_000,
    trees: Annotated[int, typer.Option(min=1, help="Trees of the forest.")] = 100,
    seed: Annotated[int, typer.Option(help="Seed of everything random.")] = 0,
) -> None:
    """Train, calibrate, export and register the recogniser of scenarios; prints its metrics and a readable tree.

    Writes samples to <data>/recognition, the comparison to <data>/experiments/recogniser.json, and model.onnx,
    manifest.json and metrics.json to the registry. The ranking server takes it when it starts.
    """
    from export.recognition.forest import ForestConfig
    from export.recognition.train import train_recogniser
    from services.settings.load import load_settings

    console = Console()
    with Progress(transient=True, console=console) as progress:
        task = progress.add_task("replaying moments", total=None)
        trained = train_recogniser(
            load_settings(data),
            data,
            samples,
            ForestConfig(trees=trees, seed=seed),
            lambda done, total: progress.update(task, completed=done, total=total),
        )
    report = trained.report
    console.print(report["decision_tree"]["text"], markup=False, highlight=False)
    console.print(comparison(report))
    console.print(confusion(report))
    console.print(report["note"], markup=False, highlight=False)
    console.print(f"registered as {trained.directory}; report in {trained.report_file}", highlight=False)


def comparison(report: dict[str, Any]) -> Table:
    """Forest, tree and baselines side by side."""
    table = Table("", *COLUMNS, title="Test split")
    lines = {**report["baselines"], "decision_tree": report["decision_tree"], "forest": report}
    for name, metrics in lines.items():
        table.add_row(name.replace("_", " "), *(f"{metrics[column]:.4f}" for column in COLUMNS))
    bound = report["bound"]
    table.add_row("bound", *(f"{bound[column]:.4f}" if column in bound else "" for column in COLUMNS))
    return table


def confusion(report: dict[str, Any]) -> Table:
    """The forest's confusion matrix: a row per true scenario."""
    table = Table("true \\ recognised", title="Confusion of the forest")
    for scenario in report["scenarios"]:
        table.add_column(scenario, justify="right")
    for scenario, row in zip(report["scenarios"], report["confusion"], strict=True):
        table.add_row(scenario, *(f"{count:,}" for count in row))
    return table
