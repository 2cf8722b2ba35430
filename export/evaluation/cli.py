"""`crossrec evaluate`: compares models on a data set's test rows and writes figures and a report.

Knows flags and how the main table looks; heavy imports wait until the command runs.
"""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from export.evaluation.words import number

PLAIN = {"gauc": "GAUC", "ndcg_at_10": "NDCG@10", "log_loss": "log loss"}
"""What the table shows beside AUC: it fits in 80 columns; the report has everything."""


def evaluate_command(
    data: Annotated[str, typer.Option(help="Name of a replayed data set: a directory below data_dir.")],
    model: Annotated[list[str] | None, typer.Option(help="Kind of model; may be repeated. Default: all.")] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Runs per model, of seeds 0, 1, ...")] = 3,
    resamples: Annotated[int, typer.Option(min=40, help="Bootstrap resamples of the users.")] = 200,
    out: Annotated[Path | None, typer.Option(help="Where to write. Default: <data_dir>/<data>/evaluation.")] = None,
) -> None:
    """Compare models on the test rows, with intervals and significance; trains the runs that are missing.

    Writes metrics.json and report.html, one file that any browser opens. Experiments that were run
    (`crossrec experiment`, `crossrec train-recogniser`) are part of the report.
    """
    from export.evaluation.study import missing_runs, read_experiments, study, write_study
    from export.models.kinds import KINDS
    from export.training.run import train_run
    from services.settings.load import load_settings

    console = Console(highlight=False)
    settings = load_settings(data)
    directory, kinds = settings.data_dir / data, list(dict.fromkeys(model or KINDS))
    missing = missing_runs(directory, kinds, seeds)

    def log(line: str) -> None:
        console.print(line, markup=False)

    for done, (kind, seed) in enumerate(missing, 1):
        log(f"training {kind}, seed {seed} ({done} of {len(missing)} missing runs)")
        train_run(settings, data, kind, seed, log=log)
    with Progress(transient=True, console=console) as progress:
        task = progress.add_task("measuring", total=None)
        figures = study(
            directory, kinds, seeds, resamples, lambda done, total: progress.update(task, completed=done, total=total)
        )
    target = out or directory / "evaluation"
    write_study(target, figures, read_experiments(directory))
    console.print(main_table(figures))
    console.print(f"figures in {target / 'metrics.json'}, report in {target / 'report.html'}")


def main_table(figures: dict[str, Any]) -> Table:
    """Test figures of every model over all rows, and its AUC against the best baseline."""
    baseline = figures["baseline"]
    rows, resamples = figures["subsets"]["all"]["rows"], figures["workload"]["resamples"]
    table = Table(
        title=f"Test split: {rows:,} rows, seeds: {figures['workload']['seeds']}, 95 % intervals",
        box=SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
    )
    table.add_column("model")
    for name in ("AUC", *PLAIN.values(), f"AUC -\n{baseline}", "p"):
        table.add_column(name, justify="right", no_wrap=True)
    for kind, model in figures["models"].items():
        found = model["test"]["all"]
        values = [number(found[name]["value"]) for name in PLAIN]
        table.add_row(kind, _estimate(found["auc"]), *values, *_against(figures, kind))
    table.caption = f"{resamples} bootstrap resamples of users; p cannot fall below {2 / (resamples + 1):.3f}"
    return table


def _estimate(estimate: dict[str, Any]) -> str:
    if estimate["low"] is None:
        return number(estimate["value"])
    return f"{estimate['value']:.4f}\n[dim]{estimate['low']:.4f}-{estimate['high']:.4f}[/dim]"


def _against(figures: dict[str, Any], kind: str) -> tuple[str, str]:
    """Difference with interval, and p."""
    found = figures["differences"].get(figures["baseline"], {}).get(kind)
    if not found or found["all"]["auc"]["value"] is None:
        return "-", "-"
    auc = found["all"]["auc"]
    return f"{auc['value']:+.4f}\n[dim]{auc['low']:+.4f} {auc['high']:+.4f}[/dim]", f"{auc['p']:.3f}"
