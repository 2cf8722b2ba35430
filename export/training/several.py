"""Several training runs of one data set: those that take one thread run side by side, one per core.

Knows processes; a run itself is in export.training.run.
"""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import as_completed

from rich import reconfigure

from export.rows.reader import RowSource
from export.training.choices import choose
from export.training.run import train_run
from export.worker_processes import open_pool
from services.settings.load import Settings

Run = tuple[str, int]
"""Kind of model and seed."""


def train_runs(
    settings: Settings, data: str, runs: Sequence[Run], log: Callable[[str], None], cores: int = os.cpu_count() or 1
) -> None:
    """Train and test models of a data set; registers none, overwrites what there is.

    Args:
        settings: where data is, and choices of training.
        data: name of the data set, replayed or split anew.
        runs: what to train.
        log: called with each line of progress; runs side by side say when they are done.
        cores: number of processes, at most.
    """
    single = one_threaded(settings, data, runs)
    workers = min(cores, len(single))
    if workers < 2:
        single = []
    alone = [run for run in runs if run not in single]
    for done, (kind, seed) in enumerate(alone, 1):
        log(f"training {kind}, seed {seed} ({done} of {len(runs)} missing runs)")
        train_run(settings, data, kind, seed, log=log, registers=False)
    if not single:
        return
    log(f"training {len(single)} of {len(runs)} missing runs, {workers} at a time")
    with open_pool(workers) as pool:
        futures = {pool.submit(_train, settings, data, *run): run for run in single}
        for done, future in enumerate(as_completed(futures), len(alone) + 1):
            future.result()
            kind, seed = futures[future]
            log(f"trained {kind}, seed {seed} ({done} of {len(runs)})")


def one_threaded(settings: Settings, data: str, runs: Sequence[Run]) -> list[Run]:
    """The runs that take one thread."""
    rows = len(RowSource(settings.data_dir / data / "rows", "train"))
    given = settings.training.model_dump()
    return [run for run in runs if choose(run[0], rows, given)[0].threads == 1]


def _train(settings: Settings, data: str, kind: str, seed: int) -> None:
    reconfigure(force_terminal=False)  # bars of several processes would overwrite each other
    train_run(settings, data, kind, seed, registers=False)
