"""`crossrec train-recogniser`: trains the recogniser of the scenario of requests that name none.

Knows flags and the printed tables; heavy imports are inside the command.
"""

from typing import Annotated, Any

import typer
from rich.progress import Progress
from rich.table import Table

from services.settings.terminal import open_console

COLUMNS = ("accuracy", "macro_f1", "log_loss", "ece", "ece_classwise")


def train_recogniser_command(
    data: Annotated[str, typer.Option(help="Name of an imported data set: a directory below data_dir.")],
    samples: Annotated[int, typer.Option(min=1, help="Most samples to use, drawn at random.")] = 60_000,
    trees: Annotated[int, typer.Option(min=1, help="Trees of the random forest.")] = 100,
    seed: Annotated[int, typer.Option(help="Random seed.")] = 0,
) -> None:
    """Train, calibrate, export and register the scenario recogniser; prints its metrics and a decision tree.

    Writes samples to <data_dir>/<data>/recognition, the report to <data_dir>/<data>/experiments/recogniser.json, and
    model.onnx, manifest.json and metrics.json to the model registry. The ranking server loads it when it starts.
    """
    from export.recognition.forest import ForestConfig
    from export.recognition.train import train_recogniser
    from services.settings.load import load_settings

    console = open_console()
    with Progress(transient=True, console=console) as progress:
        task = progress.add_task("replaying", total=None)
        trained = train_recogniser(
            load_settings(data),
            data,
            samples,
            ForestConfig(trees=trees, seed=seed),
            lambda done, total: progress.update(task, completed=done, total=total),
        )
    report = trained.report
    console.print(report["decision_tree"]["text"], highlight=False)
    console.print(metrics_table(report))
    console.print(confusion_table(report))
    console.print(f"registered as {trained.directory}; report in {trained.report_file}", highlight=False)


def metrics_table(report: dict[str, Any]) -> Table:
    """Metrics of baselines, decision tree and forest, and the bound of accuracy and log loss."""
    table = Table("", *COLUMNS, title="Test split")
    lines = {**report["baselines"], "decision_tree": report["decision_tree"], "forest": report}
    for name, metrics in lines.items():
        table.add_row(name.replace("_", " "), *(f"{metrics[column]:.4f}" for column in COLUMNS))
    bound = report["bound"]
    table.add_row("bound", *(f"{bound[column]:.4f}" if column in bound else "" for column in COLUMNS))
    return table


def confusion_table(report: dict[str, Any]) -> Table:
    """The forest's confusion matrix: a row per true scenario."""
    table = Table("true \\ recognised", title="Confusion of the forest")
    for scenario in report["scenarios"]:
        table.add_column(scenario, justify="right")
    for scenario, row in zip(report["scenarios"], report["confusion"], strict=True):
        table.add_row(scenario, *(f"{count:,}" for count in row))
    return table
