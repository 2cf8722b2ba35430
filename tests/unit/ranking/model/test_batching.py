"""Dynamic batching: equal scores, no wait beyond a deadline, an error fails only its own request."""

import math
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from services.features.encode import Tensors
from services.ranking.model.batching import BatchingModel
from services.ranking.model.execution import ExecutionConfig
from services.ranking.model.onnx_model import OnnxModel
from services.registry.model import Scores
from tests.unit.ranking.model.graphs import ModelRequest, assert_same, expected, make_request, write_batched, write_one

CPU = ("CPUExecutionProvider",)
FOREVER_S = 3600.0
"""Longer than a test may take: a request that waits this long hangs."""


class RecordingModel:
    """A model that records the number of requests of each run."""

    def __init__(self, model: OnnxModel) -> None:
        self._model, self.version, self.runs = model, model.version, list[int]()
        self.vectors = model.vectors

    def score(self, tensors: Tensors, target: np.ndarray) -> Scores:
        self.runs.append(1)
        return self._model.score(tensors, target)

    def score_batch(self, requests: Sequence[ModelRequest]) -> list[Scores]:
        self.runs.append(len(requests))
        return self._model.score_batch(requests)


@pytest.fixture(params=[(), (8, 64)], ids=["free shapes", "padded"])
def model(tmp_path: Path, request: pytest.FixtureRequest) -> RecordingModel:
    write_one(tmp_path / "model.onnx")
    write_batched(tmp_path / "batched.onnx")
    execution = ExecutionConfig(buckets=request.param, batch_wait_ms=1.0, batch_requests=4)
    return RecordingModel(OnnxModel(tmp_path / "model.onnx", "small/3", CPU, execution))


def start(pool: ThreadPoolExecutor, model: BatchingModel, requests: list[ModelRequest]) -> list[Future[Scores]]:
    return [pool.submit(model.score, *request) for request in requests]


def test_a_batch_runs_when_it_is_full(model: RecordingModel) -> None:
    """Requests with any numbers of candidates in one run, each with its own scores."""
    batched, requests = BatchingModel(model, FOREVER_S, 4), [make_request(items) for items in (5, 1, 30, 2)]
    with ThreadPoolExecutor(4) as pool:
        for request, found in zip(requests, start(pool, batched, requests), strict=True):
            assert_same(expected(*request), found.result())
    assert model.runs == [4]


def test_many_threads_get_the_scores_of_single_requests(model: RecordingModel) -> None:
    """For any composition of the batches."""
    batched = BatchingModel(model, 0.001, 4)
    requests = [make_request(1 + seed % 90, scenarios=2 + seed % 2, seed=seed) for seed in range(400)]
    with ThreadPoolExecutor(16) as pool:
        for request, found in zip(requests, start(pool, batched, requests), strict=True):
            assert_same(expected(*request), found.result())
    assert sum(model.runs) == 400
    assert max(model.runs) > 1


def test_requests_with_different_numbers_of_scenarios_are_not_mixed(model: RecordingModel) -> None:
    """When a scenario is created between them, each number of scenarios has its own batch."""
    batched, requests = BatchingModel(model, FOREVER_S, 2), [make_request(3, scenarios) for scenarios in (2, 3, 2, 3)]
    with ThreadPoolExecutor(4) as pool:
        for request, found in zip(requests, start(pool, batched, requests), strict=True):
            assert_same(expected(*request), found.result())
    assert model.runs == [2, 2]


def test_a_request_without_time_does_not_wait(model: RecordingModel) -> None:
    """It is scored at once, without a batch."""
    request = make_request(3)
    assert_same(expected(*request), BatchingModel(model, FOREVER_S, 4).score(*request, time_left_s=0.0))
    assert model.runs == [1]


def test_a_request_without_time_left_closes_its_batch(model: RecordingModel) -> None:
    """The batch runs for both, although the first request could wait longer."""
    batched, (first, second) = BatchingModel(model, FOREVER_S, 4), (make_request(3), make_request(4))
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(batched.score, *first, math.inf)
        while not batched.waiting:
            pass
        assert_same(expected(*second), batched.score(*second, 0.0))
        assert_same(expected(*first), waiting.result())
    assert model.runs == [2]


def test_an_error_fails_only_its_own_request(model: RecordingModel, caplog: pytest.LogCaptureFixture) -> None:
    """The others are scored; the failure of the batch is logged."""
    good, (tensors, target) = [make_request(items) for items in (5, 2)], make_request(4)
    bad = (replace(tensors, cross=tensors.cross[:, :, :1]), target)
    batched = BatchingModel(model, FOREVER_S, 3)
    with ThreadPoolExecutor(3) as pool:
        *found, failed = start(pool, batched, [*good, bad])
        for request, scores in zip(good, found, strict=True):
            assert_same(expected(*request), scores.result())
        with pytest.raises(Exception, match="cross"):
            failed.result()
    assert model.runs == [3, 1, 1, 1]
    assert ["batch_failed"] == [record.getMessage() for record in caplog.records]


def test_batching_continues_after_an_error(model: RecordingModel) -> None:
    """A failed batch leaves no state."""
    tensors, target = make_request(4)
    batched, request = BatchingModel(model, 0.0, 3), make_request(6)
    with pytest.raises(Exception, match="cross"):
        batched.score(replace(tensors, cross=tensors.cross[:, :, :1]), target)
    assert_same(expected(*request), batched.score(*request))
    assert batched.version == "small/3"
