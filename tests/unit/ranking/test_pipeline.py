"""The whole pipeline: the deadline between stages, warm-up, and the time limit for reading the user's rows."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np
import pytest

from crossrec.ranking.v1 import ranking_pb2 as pb
from services.errors import DeadlinePassed, InvalidRequest
from services.features.catalogue import ScenarioState
from services.features.config import Attribute, FeatureConfig
from services.features.encode import Tensors
from services.features.rows import Block
from services.features.schema import build_schema
from services.ranking.cache.row_sources import open_row_sources
from services.ranking.model.ab_split import FixedModel
from services.ranking.pipeline import Ranker, rank, warm_up
from services.registry.model import FakeModel, Scores
from services.store.folding import fold_states, index_scenarios
from services.store.memory import MemoryRowStore
from services.store.protocol import ReadRequest
from services.store.read_deadline import read_time_left_s

NOW_S = 1_800_000_000.0
SCHEMA = build_schema(FeatureConfig(text_dims=3, attributes=(Attribute("hour", "context"),)))


class CountingModel(FakeModel):
    """Counts the calls of score."""

    calls = 0

    def score(self, tensors: Tensors, target: np.ndarray, _left_s: float = 0.0) -> Scores:
        self.calls += 1
        return super().score(tensors, target)


class DeadlineRecordingStore(MemoryRowStore):
    """Records the read deadline of each call."""

    def __init__(self) -> None:
        super().__init__()
        self.left_s: dict[str, float | None] = {}

    def read_blocks(self, requests: Sequence[ReadRequest]) -> list[Block]:
        self.left_s |= dict.fromkeys((view.name for view, _ in requests), read_time_left_s())
        return super().read_blocks(requests)


@pytest.fixture
def ranker() -> Ranker:
    store = MemoryRowStore()
    view, positions = SCHEMA["scenario"], [(1, 0, 0)]
    fold_states(store, SCHEMA, view, [("tv",)], [ScenarioState(1e9)], positions, np.zeros((1, 3)), 7)
    index_scenarios(store, SCHEMA, ["tv"], positions[0])
    return Ranker(
        SCHEMA,
        open_row_sources(store, SCHEMA, 7, 10, 1.0, 1.0, max_scenarios=64),
        FixedModel(CountingModel()),
        clock=lambda: NOW_S,
    )


def passing_after(checks: int) -> Callable[[], float]:
    """A clock of the time left that is positive for the first `checks` calls."""
    left: Iterator[float] = iter([1.0] * checks + [0.0] * 9)
    return lambda: next(left)


@pytest.mark.parametrize(("checks", "model_calls"), [(0, 0), (1, 0), (2, 0), (3, 1), (4, 1)])
def test_ranking_stops_when_the_deadline_has_passed(ranker: Ranker, checks: int, model_calls: int) -> None:
    """Before the user is read, before items are, before the model runs, after it, and before the answer is made."""
    with pytest.raises(DeadlinePassed):
        rank(ranker, pb.RankRequest(user_id="u", item_ids=["a"]), passing_after(checks))
    assert ranker.models.assign("").model.calls == model_calls  # type: ignore[attr-defined]


def test_ranking_within_the_deadline_returns_an_answer(ranker: Ranker) -> None:
    """Even if the deadline passes after the last check."""
    answer = pb.RankResponse.FromString(rank(ranker, pb.RankRequest(user_id="u", item_ids=["a"]), passing_after(5)))
    assert [item.item_id for item in answer.items] == ["a"]


def test_warm_up_runs_the_model_without_rows(ranker: Ranker) -> None:
    """The schema's tensors with two candidates, once."""
    warm_up(ranker)
    assert ranker.models.assign("").model.calls == 1  # type: ignore[attr-defined]


def test_reading_the_user_leaves_time_for_the_rest(ranker: Ranker) -> None:
    """It gets half of the time left; reads that serve all users have the store's own time-out."""
    store = DeadlineRecordingStore()
    changed = replace(ranker, rows=replace(ranker.rows, store=store))
    rank(changed, pb.RankRequest(user_id="u", item_ids=["a"]), lambda: 8.0)
    assert {"user", "user_scenario"} == set(store.left_s)
    assert all(left_s is not None and left_s <= 4.0 for left_s in store.left_s.values())


def test_too_many_candidates_for_the_scenarios_are_refused_before_anything_is_read() -> None:
    """The error names how many are allowed, and that many are ranked."""
    store, names = MemoryRowStore(), [f"s{number:03}" for number in range(100)]
    positions = [(1, 0, number) for number in range(100)]
    keys, states = [(name,) for name in names], [ScenarioState(1e9)] * 100
    fold_states(store, SCHEMA, SCHEMA["scenario"], keys, states, positions, np.zeros((100, 3)), 7)
    index_scenarios(store, SCHEMA, names, positions[-1])
    model = CountingModel()
    rows = open_row_sources(store, SCHEMA, 7, 2000, 1.0, 1.0, max_scenarios=100)
    ranker = Ranker(SCHEMA, rows, FixedModel(model), clock=lambda: NOW_S)
    message = pb.RankRequest(user_id="u", item_ids=[str(number) for number in range(2000)])
    with pytest.raises(InvalidRequest) as caught:
        rank(ranker, message, lambda: 1.0)
    assert ("item_ids", 0) == (caught.value.field, model.calls)
    assert "200000 preferences, at most 128000 are computed for a request: send at most 1280 candidates" in str(
        caught.value
    )
    del message.item_ids[1280:]
    assert 1280 == len(pb.RankResponse.FromString(rank(ranker, message, lambda: 1.0)).items)
