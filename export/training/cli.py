"""`crossrec train`: trains, tests, exports and registers models of a data set.

Knows flags; a run itself is in export.training.run.
"""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from export.evaluation.labels import format_number
from export.models.kinds import KINDS
from services.settings.load import Settings, load_settings
from services.settings.terminal import open_console

console = open_console()


def train_command(
    data: Annotated[str, typer.Option(help="Name of an imported data set: a directory below data_dir.")],
    model: Annotated[
        list[str] | None,
        typer.Option(help=f"Kind of model: {', '.join(KINDS)}. May be repeated. Default: all."),
    ] = None,
    seed: Annotated[
        list[int] | None, typer.Option(help="Seed of initial weights and row order; may be repeated. Default: 0.")
    ] = None,
    epochs: Annotated[int | None, typer.Option(help="Most passes over the rows. Default: the kind's own.")] = None,
    device: Annotated[str | None, typer.Option(help="PyTorch device, like cpu or cuda.")] = None,
    *,
    resume: Annotated[bool, typer.Option(help="Keep finished runs and continue an interrupted one.")] = False,
) -> None:
    """Train, test, export and register models; imports and replays the data set first where needed.

    Writes <data_dir>/<data>/runs/<kind>-seed<k>/ and model.onnx, manifest.json and metrics.json to the registry.
    """
    from export.models.kinds import load_kind
    from export.models.runs import read_run
    from export.training.run import train_run

    settings = load_settings(data)
    kinds = model or list(KINDS)
    for kind in kinds:
        load_kind(kind)
    _ensure_rows(settings, data)
    table = Table("model", "seed", "rows", "AUC", "GAUC", "NDCG@10", "log loss", "registered as", title="Test split")
    for kind in kinds:
        for number in seed or [0]:
            overrides = {"epochs": epochs, "device": device}
            run = read_run(train_run(settings, data, kind, number, overrides, log=console.print, resume=resume))
            table.add_row(kind, str(number), *_metric_cells(run), "/".join(Path(run["registered"]).parts[-2:]))
    console.print(table)
    console.print(f"registered in {settings.registry_dir}")


def _metric_cells(run: dict[str, Any]) -> list[str]:
    """Rows and metrics of the test split."""
    test = run.get("test", {}).get("all")
    if not test:
        return ["0", *["-"] * 4]
    return [str(test["rows"]), *(format_number(test[name]) for name in ("auc", "gauc", "ndcg_at_10", "log_loss"))]


def _ensure_rows(settings: Settings, data: str) -> None:
    """Import and replay the data set, unless its training rows are there."""
    from export.datasets.cli import import_command
    from export.replay.cli import replay_data

    directory: Path = settings.data_dir / data
    if (directory / "rows" / "training_rows.json").exists():
        return
    if not (directory / "dataset.json").exists():
        import_command(data, out=directory)
    replay_data(settings, data, console)
