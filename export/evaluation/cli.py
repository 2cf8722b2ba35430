"""`crossrec evaluate`: compares models on a data set's test rows and writes metrics.json and a report.

Knows flags and the printed table; trains missing runs (the composition root of evaluation and training). Heavy imports
are inside the command.
"""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.box import SIMPLE_HEAD
from rich.progress import Progress
from rich.table import Table
from rich.text import Text

from export.evaluation.labels import format_number
from export.models.kinds import ALL, DEFAULT_KINDS, KINDS
from services.settings.terminal import open_console

if TYPE_CHECKING:
    from services.settings.load import Settings

COLUMNS = {"gauc": "GAUC", "ndcg_at_10": "NDCG@10", "log_loss": "log loss"}
"""Columns beside AUC, so that the table fits 80 columns; the report has all metrics."""


def evaluate_command(
    data: Annotated[str, typer.Option(help="Name of a replayed data set: a directory below data_dir.")],
    model: Annotated[
        list[str] | None,
        typer.Option(
            help=f"Kind of model: {', '.join(KINDS)}, or {ALL}. May be repeated. Default: {', '.join(DEFAULT_KINDS)}, "
            "and others that were trained."
        ),
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Training runs per model, with seeds 0, 1, ...")] = 3,
    resamples: Annotated[int, typer.Option(min=40, help="Bootstrap resamples of the users.")] = 200,
    out: Annotated[Path | None, typer.Option(help="Output directory. Default: <data_dir>/<data>/evaluation.")] = None,
    split: Annotated[
        str,
        typer.Option(
            help="Split the rows anew, to compare with figures of others: random (rows know all of training, as models "
            "of papers do), user_time, user or time, with the shares and seed of [dataset]. Rows, runs and report go "
            "to <data_dir>/<data>/splits/; nothing else changes."
        ),
    ] = "",
) -> None:
    """Compare models on the test rows, with intervals and p-values; trains missing runs first, registers none.

    Writes metrics.json and report.html, a self-contained page. The report includes the results of
    `crossrec experiment` and `crossrec train-recogniser`, where those were run.
    """
    from export.evaluation.dataset_evaluation import (
        compared_kinds,
        evaluate_dataset,
        missing_runs,
        read_experiments,
        write_evaluation,
    )
    from export.rows.provenance import require_current_rows
    from export.training.several import train_runs
    from services.settings.load import load_settings

    console = open_console(highlight=False)
    settings = load_settings(data)
    checks = run_checks(settings, settings.data_dir / data)
    if split:
        from export.replay.progress import replay_progress
        from export.replay.resplit import resplit_data

        with replay_progress() as report:
            data = resplit_data(settings, data, split, report)
        console.print(f"rows split anew in {settings.data_dir / data}")
    else:
        require_current_rows(settings, data)
    directory = settings.data_dir / data
    kinds = compared_kinds(directory, model)
    missing = missing_runs(directory, kinds, seeds)

    def log(line: str) -> None:
        console.print(line)

    train_runs(settings, data, missing, log)
    with Progress(transient=True, console=console) as progress:
        task = progress.add_task("measuring", total=None)
        figures = evaluate_dataset(
            directory,
            kinds,
            seeds,
            resamples,
            lambda done, total: progress.update(task, completed=done, total=total),
            checks,
        )
    target = out or directory / "evaluation"
    write_evaluation(target, figures, read_experiments(directory))
    console.print(main_table(figures))
    if table := negatives_table(figures):
        console.print(table)
    console.print(f"metrics in {target / 'metrics.json'}, report in {target / 'report.html'}")


def run_checks(settings: "Settings", directory: Path) -> list[dict[str, str]] | None:
    """Findings of the data check, for the report; None without the data set."""
    from export.datasets.check.data_check import check_data
    from export.datasets.storage import DatasetReader
    from export.rows.provenance import holds_tables
    from services.text.encoder import find_info

    if not holds_tables(directory):
        return None
    window_s, now_ms, built = (
        settings.dataset.label_window_s,
        round(time.time() * 1000),
        find_info(settings.encoder_dir),
    )
    report = check_data(DatasetReader(directory), settings.features, window_s, now_ms, settings.text_encoder, built)
    return [
        {
            "name": finding.name,
            "level": finding.level,
            "found": finding.numbers_text(),
            "text": finding.meaning,
        }
        for finding in report.findings
    ]


def main_table(figures: dict[str, Any]) -> Table:
    """Metrics of every model over all test rows, and its AUC difference to the best baseline."""
    baseline = figures["baseline"]
    rows, resamples = figures["subsets"]["all"]["rows"], figures["workload"]["resamples"]
    table = Table(
        title=f"Test split: {rows:,} rows, seeds: {figures['workload']['seeds']}, 95 % intervals",
        box=SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
    )
    table.add_column("model")
    for name in ("AUC", *COLUMNS.values(), f"AUC -\n{baseline}", "p"):
        table.add_column(name, justify="right", no_wrap=True)
    for kind, model in figures["models"].items():
        estimates = model["test"]["all"]
        values = [format_number(estimates[name]["value"]) for name in COLUMNS]
        table.add_row(kind, _estimate_cell(estimates["auc"]), *values, *_baseline_difference(figures, kind))
    table.caption = f"{resamples} bootstrap resamples of users; p cannot fall below {2 / (resamples + 1):.3f}"
    return table


def negatives_table(figures: dict[str, Any]) -> Table | None:
    """Metrics of every model by how negatives were drawn, side by side; None unless there are several kinds."""
    from export.evaluation.rows import SAMPLED

    kinds = [name for name in SAMPLED if name in figures["segments"]]
    if not kinds:
        return None
    table = Table(title="By kind of negatives", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("model")
    for name in kinds:
        for metric in ("AUC", "NDCG@10"):
            table.add_column(f"{SAMPLED[name][0]}\n{metric}", justify="right", no_wrap=True)
    for kind, model in figures["models"].items():
        segments = model["test"]["segments"]
        estimates = [segments[name].get(metric) for name in kinds for metric in ("auc", "ndcg_at_10")]
        table.add_row(kind, *(format_number(estimate and estimate["value"]) for estimate in estimates))
    return table


def _estimate_cell(estimate: dict[str, Any]) -> str | Text:
    if estimate["low"] is None:
        return format_number(estimate["value"])
    return Text.assemble(f"{estimate['value']:.4f}\n", (f"{estimate['low']:.4f}-{estimate['high']:.4f}", "dim"))


def _baseline_difference(figures: dict[str, Any], kind: str) -> tuple[str | Text, str]:
    """AUC difference to the baseline with its interval, and p."""
    differences = figures["differences"].get(figures["baseline"], {}).get(kind)
    if not differences or differences["all"]["auc"]["value"] is None:
        return "-", "-"
    auc = differences["all"]["auc"]
    interval = Text.assemble(f"{auc['value']:+.4f}\n", (f"{auc['low']:+.4f} {auc['high']:+.4f}", "dim"))
    return interval, f"{auc['p']:.3f}"
