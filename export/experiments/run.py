"""Runs the fits of an experiment one after the other, writes each result, and estimates the remaining time.

Knows order and time; knows nothing of models or file formats.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

from export.experiments.fits import Experiment, ResultRow, Trainer
from export.experiments.results import ExperimentResults

SECONDS_PER_PASS = 5e-5
"""Assumed seconds per row through the network, on one core, before the first fit is measured."""


@dataclass(frozen=True)
class RemainingWork:
    """Remaining fits, rows through the network, and seconds (`measured`, or assumed before the first fit)."""

    fits: int
    done: int
    row_passes: int
    seconds: float
    measured: bool


def remaining_work(experiment: Experiment, trainer: Trainer, results: ExperimentResults) -> RemainingWork:
    """The remaining work of an experiment."""
    left = [fit for fit in experiment.fits if fit.key not in results.done]
    rows = sum(trainer.row_passes(fit) for fit in left)
    cost = results.seconds_per_pass
    seconds = rows * (SECONDS_PER_PASS if cost is None else cost)
    return RemainingWork(len(left), len(experiment.fits) - len(left), rows, seconds, cost is not None)


def run_experiment(
    experiment: Experiment,
    trainer: Trainer,
    results: ExperimentResults,
    report: Callable[[str, RemainingWork], None] = lambda *_: None,
    clock: Callable[[], float] = time.perf_counter,
) -> list[ResultRow]:
    """Run the fits that are not finished; returns all result rows. The file is written after every fit."""
    for fit in experiment.fits:
        if fit.key in results.done:
            continue
        started = clock()
        measures = trainer.measure(fit)
        results.add(fit, measures, clock() - started, trainer.row_passes(fit))
        results.write(experiment.rows(results.done))
        report(fit.key, remaining_work(experiment, trainer, results))
    rows = experiment.rows(results.done)
    results.write(rows)
    return rows
