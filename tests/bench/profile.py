"""`crossrec bench profile`: CPU time of a Rank request per stage, in one process over a real store.

Measures CPU time of this thread, so that other load on the machine matters little. Each stage is timed separately, the
total without stage timing; `--calls` prints a call profile.
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
from rich.table import Table

from crossrec.ranking.v1 import ranking_pb2 as pb
from export.evaluation.machine import machine, versions
from export.harness.environment import Environment
from export.harness.stage import DATASET, prepare_ranking, prepare_stage
from services.ranking import pipeline
from services.ranking.model.ab_split import FixedModel
from services.ranking.pipeline import Ranker, rank
from services.ranking.wiring import build_models, build_ranker
from services.registry.model import Scores, ScoringModel
from services.server.lifecycle import freeze_heap
from services.settings.terminal import open_console
from tests.bench.rank import CANDIDATES, HOUSEHOLDS, PACKAGES, seeded_requests

STAGES = ("validate", "read_user", "recognise", "hydrate", "encode", "score", "diversify", "select", "respond")
WARM_S = 120.0
FOREVER_S = 1e9


def run_bench_profile(requests: int, calls: int, out: Path = Path("build/bench/profile")) -> dict[str, Any]:
    """Prepare data, store and model, rank in this process, print the table, and `calls` profile entries."""
    console = open_console(stderr=True)
    with Environment(out, DATASET) as environment:
        console.print(f"preparing {HOUSEHOLDS} households, a model and the online store")
        stage = prepare_stage(environment, HOUSEHOLDS)
        prepare_ranking(stage)
        asked = seeded_requests(stage.history, requests, CANDIDATES)
        models = build_models(stage.settings)
        ranker, refresher = build_ranker(stage.settings, models)
        refresher.warm(WARM_S)
        freeze_heap()
        refresher.start()
        try:
            whole, stages = measure_stages(ranker, asked)
            if calls:
                show_calls(ranker, asked, calls)
        finally:
            refresher.stop()
    table = Table("stage", "microseconds")
    for name, microseconds in stages.items():
        table.add_row(name, f"{microseconds:.0f}")
    table.add_row("total, without stage timing", f"{whole:.0f}")
    console.print(table)
    return {
        "request_us": round(whole, 1),
        "stages_us": {name: round(microseconds, 1) for name, microseconds in stages.items()},
        "workload": {"requests": requests, "candidates": CANDIDATES, "explain": True, "time": "CPU time of one thread"},
        "versions": versions(PACKAGES),
        "machine": machine(),
    }


class TimedModel:
    """Wraps a model and times its scoring."""

    def __init__(self, model: ScoringModel, timed: Callable[..., Any]) -> None:
        self.version, self.vectors, self._score = model.version, model.vectors, timed("score", model.score)

    def score(self, tensors: Any, target: np.ndarray, left_s: float = FOREVER_S, /) -> Scores:
        """Score with the wrapped model."""
        scores: Scores = self._score(tensors, target, left_s)
        return scores


def measure_stages(ranker: Ranker, asked: Sequence[pb.RankRequest]) -> tuple[float, dict[str, float]]:
    """Median microseconds of a request, and of each stage."""
    run_requests(ranker, asked)
    whole = run_requests(ranker, asked)
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
        run_requests(replace(ranker, models=FixedModel(model)), asked)
    return whole, {name: float(np.median(each)) for name, each in taken.items() if each}


def run_requests(ranker: Ranker, asked: Sequence[pb.RankRequest]) -> float:
    """Median CPU time of the requests, microseconds."""
    taken = []
    for request in asked:
        begun = time.thread_time_ns()
        rank(ranker, request, lambda: FOREVER_S)
        taken.append((time.thread_time_ns() - begun) / 1000)
    return float(np.median(taken))


def show_calls(ranker: Ranker, asked: Sequence[pb.RankRequest], calls: int) -> None:
    """Print the functions with the most cumulative time."""
    with cProfile.Profile() as profile:
        run_requests(ranker, asked)
    pstats.Stats(profile).sort_stats("cumulative").print_stats(calls)
