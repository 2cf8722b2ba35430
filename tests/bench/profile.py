"""`crossrec bench profile`: where the time of a request goes, stage by stage, in one process over a real store.

Processor time of this thread, so that what else the machine does counts little. Each stage is timed alone, the whole
without any timing; what a stage calls can be looked at with `--calls`.
"""

import cProfile
import pstats
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
from rich.console import Console
from rich.table import Table

from crossrec.ranking.v1 import ranking_pb2 as pb
from export.evaluation.machine import machine, versions
from export.harness.environment import Environment
from export.harness.stage import DATASET, open_ranking, set_stage
from services.ranking import pipeline
from services.ranking.model.ab_split import FixedModel
from services.ranking.pipeline import Ranker, rank
from services.ranking.wiring import build_models, build_ranker
from services.registry.model import Scores, ScoringModel
from services.server.lifecycle import freeze_heap
from tests.bench.rank import CANDIDATES, HOUSEHOLDS, PACKAGES, workload

STAGES = ("validate", "read_user", "recognise", "hydrate", "encode", "score", "diversify", "select", "respond")
WARM_S = 120.0
FOREVER_S = 1e9


def run_bench_profile(requests: int, calls: int, out: Path = Path("build/bench/profile")) -> dict[str, Any]:
    """Prepare data, store and model, rank in this process, print the table; `calls` functions of the profile too."""
    console = Console(stderr=True)
    with Environment(out, DATASET) as environment:
        console.print(f"preparing {HOUSEHOLDS} households, a model and the online store")
        stage = set_stage(environment, HOUSEHOLDS)
        open_ranking(stage)
        asked = workload(stage.history, requests, CANDIDATES)
        models = build_models(stage.settings)
        ranker, refresher = build_ranker(stage.settings, models)
        refresher.warm(WARM_S)
        freeze_heap()
        refresher.start()
        try:
            whole, stages = measured(ranker, asked)
            if calls:
                show_calls(ranker, asked, calls)
        finally:
            refresher.stop()
    table = Table("stage", "microseconds")
    for name, microseconds in stages.items():
        table.add_row(name, f"{microseconds:.0f}")
    table.add_row("all of it, without timing", f"{whole:.0f}")
    console.print(table)
    return {
        "request_us": round(whole, 1),
        "stages_us": {name: round(microseconds, 1) for name, microseconds in stages.items()},
        "workload": {"requests": requests, "candidates": CANDIDATES, "explain": True, "time": "processor, one thread"},
        "versions": versions(PACKAGES),
        "machine": machine(),
    }


class TimedModel:
    """A model that says how long it takes."""

    def __init__(self, model: ScoringModel, timed: Callable[..., Any]) -> None:
        self.version, self._score = model.version, timed("score", model.score)

    def score(self, tensors: Any, target: np.ndarray, left_s: float = FOREVER_S, /) -> Scores:
        """As the model does."""
        scores: Scores = self._score(tensors, target, left_s)
        return scores


def measured(ranker: Ranker, asked: Sequence[pb.RankRequest]) -> tuple[float, dict[str, float]]:
    """Microseconds of a request, and of each stage: medians."""
    run(ranker, asked)
    whole = run(ranker, asked)
    taken: dict[str, list[float]] = {name: [] for name in STAGES}

    def timed(name: str, stage: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            begun = time.thread_time_ns()
            result = stage(*arguments, **named)
            taken[name].append((time.thread_time_ns() - begun) / 1000)
            return result

        return call

    stages = {name: timed(name, getattr(pipeline, name)) for name in STAGES if name != "score"}
    model = TimedModel(ranker.models.assign("").model, timed)
    with ExitStack() as swapped:
        for name, stage in stages.items():
            swapped.enter_context(patch.object(pipeline, name, stage))
        run(replace(ranker, models=FixedModel(model)), asked)
    return whole, {name: float(np.median(each)) for name, each in taken.items() if each}


def run(ranker: Ranker, asked: Sequence[pb.RankRequest]) -> float:
    """Median microseconds of processor time of the requests."""
    taken = []
    for request in asked:
        begun = time.thread_time_ns()
        rank(ranker, request, lambda: FOREVER_S)
        taken.append((time.thread_time_ns() - begun) / 1000)
    return float(np.median(taken))


def show_calls(ranker: Ranker, asked: Sequence[pb.RankRequest], calls: int) -> None:
    """Print the functions that take the most time with what they call."""
    with cProfile.Profile() as profile:
        run(ranker, asked)
    pstats.Stats(profile).sort_stats("cumulative").print_stats(calls)
