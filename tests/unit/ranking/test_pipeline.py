"""The stages of a request on plain arrays: order, selection, and the deadline between them."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np
import pytest

from crossrec.ranking.v1 import ranking_pb2 as pb
from services.errors import DeadlinePassed
from services.features.catalogue import ScenarioState
from services.features.config import Attribute, FeatureConfig
from services.features.encode import Tensors
from services.features.rows import Block
from services.features.schema import build_schema
from services.ranking.cache.row_sources import open_row_sources
from services.ranking.diversify import diversify, select
from services.ranking.model.ab_split import FixedModel
from services.ranking.pipeline import Ranker, rank, warm_up
from services.ranking.request_state import Degradations
from services.registry.model import FakeModel, Scores
from services.store.folding import fold_states, index_scenarios
from services.store.memory import MemoryRowStore
from services.store.protocol import ReadRequest
from services.store.read_deadline import read_time_left_s

NOW_S = 1_800_000_000.0
SCHEMA = build_schema(FeatureConfig(text_dims=3, attributes=(Attribute("hour", "context"),)))


class CountingModel(FakeModel):
    """Counts how often it was asked."""

    calls = 0

    def score(self, tensors: Tensors, target: np.ndarray, _left_s: float = 0.0) -> Scores:
        self.calls += 1
        return super().score(tensors, target)


class ImpatientStore(MemoryRowStore):
    """Notes how long its readers want to wait."""

    def __init__(self) -> None:
        super().__init__()
        self.left_s: dict[str, float | None] = {}

    def read_blocks(self, requests: Sequence[ReadRequest]) -> list[Block]:
        self.left_s |= dict.fromkeys((view.name for view, _ in requests), read_time_left_s())
        return super().read_blocks(requests)


def scores_of(probability: list[float]) -> Scores:
    values = np.array(probability, np.float32)
    return Scores(values[:, None], np.ones(1, np.float32), values, values)


def tensors_of(text: list[list[float]]) -> Tensors:
    empty = np.zeros(0, np.float32)
    return Tensors(empty, empty, empty, empty, np.array(text, np.float32), empty)


def test_without_diversity_the_score_alone_decides() -> None:
    """Ties keep the order of the request; texts are not looked at."""
    order = diversify(scores_of([0.1, 0.5, 0.5, 0.9]), tensors_of([[1, 0]] * 4), 0.0)
    assert order.tolist() == [3, 1, 2, 0]


def test_diversity_puts_the_unlike_before_the_alike() -> None:
    """(1 - d) * probability - d * closest: worked out by hand for d = 0.5."""
    text = [[1.0, 0.0], [1.0, 0.0], [0.6, 0.8], [0.0, 1.0]]
    # First item 0. Then, doubled, the values are 0.8 - 1, 0.75 - 0.6 and 0.1 - 0; then 0.8 - 1 and 0.1 - 0.8.
    assert diversify(scores_of([0.9, 0.8, 0.75, 0.1]), tensors_of(text), 0.5).tolist() == [0, 2, 1, 3]


def test_many_equal_scores_keep_the_order_of_the_request() -> None:
    """As many as no sort keeps in order by chance."""
    order = diversify(scores_of([0.5] * 500), tensors_of([[1.0, 0.0]] * 500), 0.0)
    assert order.tolist() == list(range(500))


def test_everything_that_is_placed_counts_not_the_last_alone() -> None:
    """The third place avoids what is like the first, though it is unlike the second."""
    text = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]
    assert diversify(scores_of([0.9, 0.8, 0.7, 0.1]), tensors_of(text), 0.5).tolist() == [0, 1, 3, 2]


def test_full_diversity_looks_at_texts_alone() -> None:
    """Whatever the scores; equal values keep the order of the request."""
    text = [[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]]
    assert diversify(scores_of([0.1, 0.9, 0.2]), tensors_of(text), 1.0).tolist() == [0, 2, 1]


def test_items_without_text_are_like_nothing() -> None:
    """Vectors of zeros: diversity changes nothing among them."""
    assert diversify(scores_of([0.2, 0.9, 0.5]), tensors_of([[0.0, 0.0]] * 3), 0.9).tolist() == [1, 2, 0]


def test_what_reads_as_the_opposite_comes_before_what_reads_as_nothing() -> None:
    """A similarity below 0 counts as one: at equal probabilities the opposite of the first comes next."""
    text = [[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]]
    assert diversify(scores_of([0.9, 0.5, 0.5]), tensors_of(text), 0.5).tolist() == [0, 2, 1]


@pytest.mark.parametrize("diversity", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("places", [1, 2, 29, 30, 99])
def test_few_places_are_the_head_of_all_places(places: int, diversity: float) -> None:
    """More are not worked out, and the first ones do not depend on how many are wanted."""
    random = np.random.default_rng(2)
    text = random.normal(size=(30, 8)).tolist()
    scores = scores_of(random.random(30).tolist())
    few, whole = (diversify(scores, tensors_of(text), diversity, count) for count in (places, 0))
    assert select(few, places).tolist() == select(whole, places).tolist()
    assert len(whole) == 30


@pytest.mark.parametrize("diversity", [0.0, 0.01, 0.5, 1.0])
def test_every_candidate_is_placed_once(diversity: float) -> None:
    """A permutation, that begins with the best one unless scores do not count."""
    random = np.random.default_rng(0)
    text = random.normal(size=(50, 8))
    text /= np.linalg.norm(text, axis=1, keepdims=True)
    probability = random.random(50)
    order = diversify(scores_of(probability.tolist()), tensors_of(text.tolist()), diversity).tolist()
    assert sorted(order) == list(range(50))
    assert diversity == 1 or order[0] == probability.argmax()


@pytest.mark.parametrize(("top_k", "expected"), [(0, [2, 0, 1]), (1, [2]), (2, [2, 0]), (9, [2, 0, 1])])
def test_select_takes_the_head(top_k: int, expected: list[int]) -> None:
    """0 takes all, and so does more than there are."""
    assert select(np.array([2, 0, 1]), top_k).tolist() == expected


def test_a_reason_is_noted_once() -> None:
    """The first detail stays."""
    degraded = Degradations()
    degraded.add(pb.DEGRADATION_REASON_UNKNOWN_ITEMS, "two", 2)
    degraded.add(pb.DEGRADATION_REASON_UNKNOWN_ITEMS, "three", 3)
    degraded.add(pb.DEGRADATION_REASON_UNKNOWN_USER, "who")
    assert [(line.detail, line.item_count) for line in degraded.reasons] == [("two", 2), ("who", 0)]


@pytest.fixture
def ranker() -> Ranker:
    store = MemoryRowStore()
    view, positions = SCHEMA["scenario"], [(1, 0, 0)]
    fold_states(store, SCHEMA, view, [("tv",)], [ScenarioState(1e9)], positions, np.zeros((1, 3)), 7)
    index_scenarios(store, SCHEMA, ["tv"], positions[0])
    return Ranker(
        SCHEMA, open_row_sources(store, SCHEMA, 7, 10, 1.0, 1.0), FixedModel(CountingModel()), clock=lambda: NOW_S
    )


def passing_after(checks: int) -> Callable[[], float]:
    """Time left that is positive this many times."""
    left: Iterator[float] = iter([1.0] * checks + [0.0] * 9)
    return lambda: next(left)


@pytest.mark.parametrize(("checks", "model_calls"), [(0, 0), (1, 0), (2, 0), (3, 1), (4, 1)])
def test_ranking_stops_when_nobody_waits_any_more(ranker: Ranker, checks: int, model_calls: int) -> None:
    """Before the user is read, before items are, before the model runs, after it, and before the answer is made."""
    with pytest.raises(DeadlinePassed):
        rank(ranker, pb.RankRequest(user_id="u", item_ids=["a"]), passing_after(checks))
    assert ranker.models.assign("").model.calls == model_calls  # type: ignore[attr-defined]


def test_in_time_ranking_answers(ranker: Ranker) -> None:
    """With the last moment left before the answer is made."""
    answer = pb.RankResponse.FromString(rank(ranker, pb.RankRequest(user_id="u", item_ids=["a"]), passing_after(5)))
    assert [item.item_id for item in answer.items] == ["a"]


def test_warming_up_runs_the_model_without_any_row(ranker: Ranker) -> None:
    """The schema's tensors with two candidates, once."""
    warm_up(ranker)
    assert ranker.models.assign("").model.calls == 1  # type: ignore[attr-defined]


def test_reading_the_user_leaves_time_for_the_rest(ranker: Ranker) -> None:
    """Half of the time left; what is read for all users has the store's own time-out."""
    store = ImpatientStore()
    patient = replace(ranker, rows=replace(ranker.rows, store=store))
    rank(patient, pb.RankRequest(user_id="u", item_ids=["a"]), lambda: 8.0)
    assert {"user", "user_scenario"} == set(store.left_s)
    assert all(left_s is not None and left_s <= 4.0 for left_s in store.left_s.values())
