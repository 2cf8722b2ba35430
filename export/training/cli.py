"""`crossrec train`: trains, tests, exports and registers models of a data set.

Knows flags; a run itself is in export.training.run.
"""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from export.evaluation.labels import format_number
from export.models.kinds import ALL, DEFAULT_KINDS, KINDS
from services.settings.load import Settings, load_settings
from services.settings.places import INFO_FILE, find_dataset
from services.settings.terminal import open_console

console = open_console()


def train_command(
    data: Annotated[str, typer.Option(help="Name of an imported data set: a directory below data_dir.")],
    model: Annotated[
        list[str] | None,
        typer.Option(
            help=f"Kind of model: {', '.join(KINDS)}, or {ALL}. May be repeated. Default: {', '.join(DEFAULT_KINDS)}."
        ),
    ] = None,
    seed: Annotated[
        list[int] | None, typer.Option(help="Seed of initial weights and row order; may be repeated. Default: 0.")
    ] = None,
    epochs: Annotated[int | None, typer.Option(help="Most passes over the rows. Default: the kind's own.")] = None,
    device: Annotated[str | None, typer.Option(help="PyTorch device, like cpu or cuda.")] = None,
    *,
    resume: Annotated[bool, typer.Option(help="Keep finished runs and continue an interrupted one.")] = False,
    replay: Annotated[
        bool, typer.Option("--replay", help="Replay the data set first if its rows are stale, instead of refusing.")
    ] = False,
) -> None:
    """Train, test, export and register models; imports and replays the data set first where needed.

    Refuses rows that were made from another import, settings or code. A model's first version serves at once, a later
    one when `crossrec models promote` says so.
    Writes <data_dir>/<data>/runs/<kind>-seed<k>/ and model.onnx, manifest.json and metrics.json to the registry.
    """
    from export.models.kinds import named_kinds
    from export.models.runs import read_run
    from export.training.run import train_run

    settings = load_settings(data)
    kinds = named_kinds(model)
    _ensure_rows(settings, data, replay=replay)
    table = Table("model", "seed", "rows", "AUC", "GAUC", "NDCG@10", "log loss", "registered as", title="Test split")
    for kind in kinds:
        for number in seed or [0]:
            overrides = {"epochs": epochs, "device": device}
            run = read_run(train_run(settings, data, kind, number, overrides, log=console.print, resume=resume))
            table.add_row(kind, str(number), *_metric_cells(run), "/".join(Path(run["registered"]).parts[-2:]))
    console.print(table)
    console.print(f"registered in {settings.registry_dir}", highlight=False)
    _print_serving(settings, kinds)


def _metric_cells(run: dict[str, Any]) -> list[str]:
    """Rows and metrics of the test split."""
    test = run.get("test", {}).get("all")
    if not test:
        return ["0", *["-"] * 4]
    return [str(test["rows"]), *(format_number(test[name]) for name in ("auc", "gauc", "ndcg_at_10", "log_loss"))]


def _print_serving(settings: Settings, kinds: list[str]) -> None:
    """Which versions serve, as long as they are not those just trained."""
    from services.registry.promotion import read_serving_state
    from services.registry.reader import Registry
    from services.registry.rollout import describe_rollout

    registry = Registry(settings.registry_dir, settings.registry_cache_dir)
    for kind in dict.fromkeys(kinds):
        rollout, newest = read_serving_state(registry, kind).rollout, registry.newest(kind)
        if newest not in rollout.models:
            line = f"{kind} serves {describe_rollout(rollout)}; `crossrec models promote {newest}` changes that"
            console.print(line, highlight=False, soft_wrap=True)


def _ensure_rows(settings: Settings, data: str, *, replay: bool) -> None:
    """Import and replay the data set, unless its training rows are there; stale ones are replayed, or refused."""
    from export.datasets.cli import import_command
    from export.datasets.registry import ADAPTERS
    from export.replay.cli import replay_data
    from export.rows.provenance import StaleRows, require_current_rows

    directory: Path = settings.data_dir / data
    if (directory / "rows" / "training_rows.json").exists():
        try:
            require_current_rows(settings, data)
        except StaleRows as error:
            if not replay:
                raise
            console.print(str(error), highlight=False, markup=False)
        else:
            return
    elif not (directory / INFO_FILE).exists() and data in ADAPTERS:
        import_command(data, out=directory)
    find_dataset(settings, data)
    replay_data(settings, data, console)
