"""`crossrec train`: trains, evaluates, exports and registers models of a data set.

Knows flags; the work is in export.training.run.
"""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from export.training.config import KINDS
from services.settings.load import Settings, load_settings

console = Console()


def train_command(
    data: Annotated[str, typer.Option(help="Name of an imported data set: a directory below data_dir.")],
    model: Annotated[
        list[str] | None, typer.Option(help=f"One of {', '.join(KINDS)}; may be repeated. Default: all.")
    ] = None,
    seed: Annotated[list[int] | None, typer.Option(help="Seed of weights and order; may be repeated.")] = None,
    epochs: Annotated[int | None, typer.Option(help="Most passes over the rows. Default: the kind's.")] = None,
    device: Annotated[str | None, typer.Option(help="PyTorch device, like cpu or cuda.")] = None,
    *,
    resume: Annotated[bool, typer.Option(help="Keep finished runs and go on with an interrupted one.")] = False,
) -> None:
    """Train, evaluate, export and register models; imports and replays first if that was not done.

    Writes <data_dir>/<data>/runs/<kind>-seed<k>/ and model.onnx, manifest.json and metrics.json to the registry.
    """
    from export.training.config import config_of
    from export.training.run import read_run, train_run

    settings = load_settings(data)
    kinds = model or list(KINDS)
    for kind in kinds:
        config_of(kind)
    _ensure_rows(settings, data)
    table = Table("model", "seed", "rows", "AUC", "GAUC", "NDCG@10", "log loss", "registered as", title="Test split")
    for kind in kinds:
        for number in seed or [0]:
            overrides = {"epochs": epochs, "device": device}
            run = read_run(train_run(settings, data, kind, number, overrides, log=console.print, resume=resume))
            table.add_row(kind, str(number), *_figures(run), "/".join(Path(run["registered"]).parts[-2:]))
    console.print(table)
    console.print(f"registered in {settings.registry_dir}")


def _figures(run: dict[str, Any]) -> list[str]:
    found = run.get("test", {}).get("all")
    if not found:
        return ["0", *["-"] * 4]
    return [str(found["rows"]), *(f"{found[name]:.4f}" for name in ("auc", "gauc", "ndcg_at_10", "log_loss"))]


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
