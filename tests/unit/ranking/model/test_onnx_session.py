"""Graphs run in pieces, in padded shapes, and with the configured providers."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from services.ranking.model.execution import BUCKETS, ExecutionConfig, build_execution
from services.ranking.model.onnx_model import INPUTS
from services.ranking.model.onnx_session import CUDA, PAIRS_PER_RUN, PaddedGraph, open_graph, open_session
from services.registry.model import Scores
from services.registry.reader import ModelUnavailable
from services.settings.processes import RankingSettings
from tests.unit.ranking.model.graphs import ModelRequest, assert_same, expected, make_request, write_one

CPU = ("CPUExecutionProvider",)
PADDED = ExecutionConfig(buckets=(4, 16))
CAPTURED = ExecutionConfig(buckets=(4, 16), cuda_graph=True)
"""The CPU has no graph capture; fixed shapes, separate sessions and the single thread are the same."""


def inputs(request: ModelRequest) -> dict[str, np.ndarray]:
    tensors, target = request
    return {**{name: getattr(tensors, name) for name in INPUTS}, "target": target.astype(np.float32)[None]}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write_one(tmp_path / "model.onnx")


@pytest.mark.parametrize("items", [1, 511, 512, 513, 2000])
def test_candidates_beyond_the_size_of_a_run_are_scored_in_pieces(path: Path, items: int) -> None:
    """In the request's order; the output that is equal for all candidates is returned once."""
    assert PAIRS_PER_RUN // 3 == 512
    request = make_request(items)
    assert_same(expected(*request), Scores(*open_graph(path, CPU, ExecutionConfig()).run(inputs(request))))


def test_more_scenarios_than_fit_a_run_are_scored_candidate_by_candidate(path: Path) -> None:
    """A piece has at least one candidate."""
    request = make_request(3, PAIRS_PER_RUN + 1)
    assert_same(expected(*request), Scores(*open_graph(path, CPU, ExecutionConfig()).run(inputs(request))))


@pytest.mark.parametrize("execution", [PADDED, CAPTURED])
def test_padded_rows_are_removed(path: Path, execution: ExecutionConfig) -> None:
    """Below, at and above a bucket, above the largest, and after a larger request in the same one."""
    graph = PaddedGraph(path, CPU, execution)
    for items, sources in [(16, 3), (5, 3), (4, 3), (1, 3), (5, 2), (40, 3), (7, 3)]:
        request = make_request(items, sources)
        assert_same(expected(*request), Scores(*graph.run(inputs(request))))


@pytest.mark.parametrize("execution", [PADDED, CAPTURED])
def test_scores_do_not_change_when_the_buffers_are_reused(path: Path, execution: ExecutionConfig) -> None:
    """They are copies."""
    graph, first, second = PaddedGraph(path, CPU, execution), make_request(4, seed=1), make_request(4, seed=2)
    found = Scores(*graph.run(inputs(first)))
    graph.run(inputs(second))
    assert_same(expected(*first), found)


@pytest.mark.parametrize("execution", [PADDED, CAPTURED])
def test_threads_share_the_buffers_of_a_shape(path: Path, execution: ExecutionConfig) -> None:
    """Runs are serialised: no run reads the output of another."""
    graph, requests = PaddedGraph(path, CPU, execution), [make_request(1 + seed % 16, seed=seed) for seed in range(200)]
    with ThreadPoolExecutor(8) as pool:
        for request, found in zip(requests, pool.map(graph.run, map(inputs, requests)), strict=True):
            assert_same(expected(*request), Scores(*found))


@pytest.mark.parametrize(
    ("execution", "providers", "message"),
    [
        (CAPTURED, CPU, "ranking.cuda_graph: needs CUDAExecutionProvider among ranking.providers"),
        (ExecutionConfig(cuda_graph=True), (CUDA, *CPU), "ranking.candidate_buckets must not be empty"),
    ],
)
def test_graph_captures_need_the_device_and_fixed_shapes(
    path: Path, execution: ExecutionConfig, providers: tuple[str, ...], message: str
) -> None:
    """The error names the missing setting."""
    with pytest.raises(ModelUnavailable, match=message):
        open_graph(path, providers, execution)


def test_options_reach_the_provider(path: Path) -> None:
    """Unchanged from the settings."""
    options = {"CPUExecutionProvider": {"use_arena": "0"}}
    assert open_session(path, CPU, options).get_providers() == list(CPU)


@pytest.mark.parametrize(
    ("chosen", "buckets"),
    [
        ({}, ()),
        ({"providers": (CUDA, *CPU)}, BUCKETS),
        ({"providers": (CUDA, *CPU), "candidate_buckets": (8,)}, (8,)),
        ({"candidate_buckets": ()}, ()),
    ],
)
def test_runs_are_padded_if_the_first_provider_is_a_device(chosen: dict[str, object], buckets: tuple[int, ...]) -> None:
    """Unless the settings define other buckets."""
    assert buckets == build_execution(RankingSettings(**chosen)).buckets


@pytest.mark.parametrize("buckets", [(8, 4), (4, 4), (0, 4)])
def test_buckets_must_ascend_and_be_positive(buckets: tuple[int, ...]) -> None:
    """Others would pad to shapes that are too small for the candidates."""
    with pytest.raises(ValueError, match="candidate_buckets"):
        RankingSettings(candidate_buckets=buckets)
