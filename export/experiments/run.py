"""Does an experiment's fits one after the other, keeping each, and says how long the rest will take.

Knows order and time; knows nothing of models or files' forms.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

from export.experiments.fits import Experiment, Row, Trainer
from export.experiments.results import Results

SECONDS_PER_PASS = 5e-5
"""Assumed cost of a row's way through the network, before the first fit: on one core."""


@dataclass(frozen=True)
class Plan:
    """What is left to do: fits, rows through the network, and seconds (measured, or assumed before the first fit)."""

    fits: int
    done: int
    row_passes: int
    seconds: float
    measured: bool


def plan(experiment: Experiment, trainer: Trainer, results: Results) -> Plan:
    """What is left of an experiment."""
    left = [fit for fit in experiment.fits if fit.key not in results.done]
    rows = sum(trainer.row_passes(fit) for fit in left)
    cost = results.seconds_per_pass
    seconds = rows * (SECONDS_PER_PASS if cost is None else cost)
    return Plan(len(left), len(experiment.fits) - len(left), rows, seconds, cost is not None)


def run(
    experiment: Experiment,
    trainer: Trainer,
    results: Results,
    report: Callable[[str, Plan], None] = lambda *_: None,
    clock: Callable[[], float] = time.perf_counter,
) -> list[Row]:
    """Do the fits that are not done; returns all rows. The file is written after every fit."""
    for fit in experiment.fits:
        if fit.key in results.done:
            continue
        started = clock()
        measures = trainer.measure(fit)
        results.keep(fit, measures, clock() - started, trainer.row_passes(fit))
        results.write(experiment.rows(results.done))
        report(fit.key, plan(experiment, trainer, results))
    rows = experiment.rows(results.done)
    results.write(rows)
    return rows
