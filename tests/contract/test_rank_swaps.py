"""Models that change while the server answers: swaps, arms and shadows, through a real channel."""

import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from crossrec.ranking.v1 import ranking_pb2 as pb
from services.features.encode import Tensors
from services.ranking.model.loader import ModelLoader
from services.ranking.model.shadow import ShadowScorer
from services.ranking.model.watcher import WatchedModels
from services.registry.model import FakeModel, Scores
from services.registry.reader import Registry, Version
from services.registry.rollout import Arm, Rollout, ServingState, serialize_serving
from tests.contract.rank_server import (
    SCHEMA,
    RankServer,
    SwitchedStore,
    order,
    reasons,
    request,
    running,
    scores,
)
from tests.unit.ranking.model.tiny_models import CPU, ENCODER, register, truncate
from tests.waiting import wait_until

SWAPS = 20


def open_models(registry: Path, shadow: ShadowScorer | None = None) -> WatchedModels:
    opened = Registry(registry)
    load = ModelLoader(opened, SCHEMA, ENCODER, CPU)
    models = WatchedModels(opened, "tiny", "", load, shadow or ShadowScorer(1.0, 8), 0.005)
    models.open()
    return models


@contextmanager
def polling(models: WatchedModels) -> Iterator[WatchedModels]:
    models.start()
    try:
        yield models
    finally:
        models.stop()


def wait_for(models: WatchedModels, version: str) -> None:
    wait_until(lambda: models.deployment.arms[0].assignment.model.version == version)


@dataclass
class Bounds:
    """Numbers of the oldest version that may answer now, and of the newest."""

    oldest: int = 1
    newest: int = 1


def ask_until(server: RankServer, stop: threading.Event, bounds: Bounds, user: str) -> list[tuple[int, str, int]]:
    """Rank repeatedly; per request the oldest version at its start, the answering one, and the newest at its end."""
    found = []
    while not stop.is_set():
        oldest = bounds.oldest
        found.append((oldest, server.rank(request(user_id=user)).model_version, bounds.newest))
    return found


def test_swaps_under_load_fail_no_request(tmp_path: Path, store: SwitchedStore) -> None:
    """Each answer names a version that was serving during its request, none older than the one at its start."""
    register(tmp_path, SCHEMA, 1)
    models, bounds, stop = open_models(tmp_path), Bounds(), threading.Event()
    with polling(models), running(store, models=models) as server, ThreadPoolExecutor(4) as pool:
        clients = [pool.submit(ask_until, server, stop, bounds, user) for user in ("ann", "bob", "eve", "zoe")]
        try:
            for number in range(2, 2 + SWAPS):
                bounds.newest = number
                register(tmp_path, SCHEMA, number, slope=1 + number / 10)
                wait_for(models, f"tiny/{number}")
                bounds.oldest = number
        finally:
            stop.set()
        answers = [answer for client in clients for answer in client.result()]
    assert () == models.problems
    for oldest, version, newest in answers:
        name, _, number = version.partition("/")
        assert "tiny" == name
        assert oldest <= int(number) <= newest
    assert len({version for _, version, _ in answers}) > SWAPS // 2


def test_broken_versions_between_good_ones_never_answer(tmp_path: Path, store: SwitchedStore) -> None:
    """The last valid version keeps answering."""
    register(tmp_path, SCHEMA, 1)
    models, stop = open_models(tmp_path), threading.Event()
    with polling(models), running(store, models=models) as server, ThreadPoolExecutor(2) as pool:
        clients = [pool.submit(ask_until, server, stop, Bounds(), user) for user in ("ann", "bob")]
        try:
            for number in range(2, 8):
                register(tmp_path, SCHEMA, number, spoil=truncate if number % 2 == 0 else lambda _: None)
                if number % 2:
                    wait_for(models, f"tiny/{number}")
                else:
                    wait_until(lambda: models.problems)
        finally:
            stop.set()
        answered = {version for client in clients for _, version, _ in client.result()}
    assert answered <= {"tiny/1", "tiny/3", "tiny/5", "tiny/7"}
    assert "tiny/7" == models.assign("ann").model.version


def test_an_answer_names_the_arm_that_ranked(tmp_path: Path, store: SwitchedStore) -> None:
    """The answer names its version too, also without any rows; the same user gets the same arm, and its scores."""
    register(tmp_path, SCHEMA, 1)
    register(tmp_path, SCHEMA, 2, slope=-1.0)
    rollout = Rollout((Arm("control", Version("tiny", 1), 0.5), Arm("b", Version("tiny", 2), 0.5)), "test")
    Registry(tmp_path).write("tiny/serving.json", serialize_serving(ServingState(rollout)))
    models, users = open_models(tmp_path), [f"user {number}" for number in range(40)]
    with running(store, models=models) as server:
        answers = {user: [server.rank(request(user_id=user)) for _ in range(2)] for user in users}
    arms = {user: {(answer.experiment_arm, answer.model_version) for answer in both} for user, both in answers.items()}
    assert Counter(map(len, arms.values())) == {1: len(users)}
    assert {("control", "tiny/1"), ("b", "tiny/2")} == set().union(*arms.values())
    for user, (first, second) in answers.items():
        assert (scores(first), order(first)) == (scores(second), order(second))
        best = order(first)[0]
        assert best == {"control": "tea", "b": "dust"}[first.experiment_arm], user
    with running(SwitchedStore(), models=models) as server:
        empty = server.rank(request(user_id=users[0]))
    assert {(empty.experiment_arm, empty.model_version)} == arms[users[0]]
    assert pb.DEGRADATION_REASON_NO_SCENARIOS in reasons(empty)


class StuckModel(FakeModel):
    """Blocks until its gate is opened."""

    version = "stuck/1"

    def __init__(self) -> None:
        self.gate = threading.Event()

    def score(self, tensors: Tensors, target: np.ndarray, _left_s: float = 0.0) -> Scores:
        assert self.gate.wait(300)
        return super().score(tensors, target)


class BrokenModel(FakeModel):
    """Fails on every request."""

    version = "broken/1"

    def score(self, tensors: Tensors, target: np.ndarray, _left_s: float = 0.0) -> Scores:
        raise ValueError(f"{len(tensors.item)} items, {len(target)} scenarios")


@pytest.mark.parametrize("candidate", [StuckModel(), BrokenModel()], ids=["stuck", "broken"])
def test_a_shadow_neither_delays_nor_changes_answers(
    tmp_path: Path, store: SwitchedStore, candidate: FakeModel
) -> None:
    """Not even one that never returns or always fails; requests beyond its capacity are dropped and counted."""
    register(tmp_path, SCHEMA, 1)
    register(tmp_path, SCHEMA, 2)
    opened, load = Registry(tmp_path), ModelLoader(Registry(tmp_path), SCHEMA, ENCODER, CPU)
    rollout = Rollout((Arm("", Version("tiny", 1), 1.0),), shadow=Version("tiny", 2))
    opened.write("tiny/serving.json", serialize_serving(ServingState(rollout)))
    shadow = ShadowScorer(1.0, 2)
    models = WatchedModels(
        opened, "tiny", "", lambda version: candidate if version.number == 2 else load(version), shadow, 60.0
    )
    models.open()
    alone = open_models(tmp_path)
    with running(store, models=alone) as server:
        expected = scores(server.rank(request()))
    with polling(models), running(store, models=models) as server:
        answers = [server.rank(request()) for _ in range(30)]
        assert {"tiny/1"} == {answer.model_version for answer in answers}
        assert [expected] * 30 == [scores(answer) for answer in answers]
        assert {""} == {answer.experiment_arm for answer in answers}
        if isinstance(candidate, StuckModel):
            (found,) = shadow.comparisons()
            assert (0, 0) == (found.requests, found.failed)
            assert found.dropped >= 30 - 3
            candidate.gate.set()
        else:
            wait_until(lambda: shadow.comparisons()[0].failed)
            assert 0 == shadow.comparisons()[0].requests
