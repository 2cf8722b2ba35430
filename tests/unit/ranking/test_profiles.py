"""Users without events are ranked for by their attributes, and requests by the categories of their context."""

from collections.abc import Mapping, Sequence

import numpy as np
import pytest

from crossrec.ranking.v1 import ranking_pb2 as pb
from services.features.attributes import Attribute, category_keys, number_values
from services.features.catalogue import ItemState, ScenarioState
from services.features.config import FeatureConfig
from services.features.encode import Tensors
from services.features.profile import ProfileUpdates
from services.features.schema import build_schema
from services.ranking.cache.row_sources import open_row_sources
from services.ranking.model.ab_split import FixedModel
from services.ranking.outcome import RankOutcome
from services.ranking.pipeline import Ranker, rank
from services.ranking.served_log.record import build_record
from services.registry.model import FakeModel, Scores
from services.store.folding import fold_states, fold_users, index_scenarios
from services.store.memory import MemoryRowStore
from tests.unit.consumers.streams import arrays

NOW_S, ENCODER = 1_800_000_000.0, 7
JOB = Attribute("job", "user", kind="category", values=("cook", "student"))
GENRE = Attribute("genre", "item", kind="categories", values=("war", "drama"))
ATTRIBUTES = (JOB, Attribute("age", "user"), GENRE, Attribute("weather", "context", kind="category", buckets=4))
SCHEMA = build_schema(FeatureConfig(text_dims=3, attributes=ATTRIBUTES))


class EveryValueModel(FakeModel):
    """Every value of what a user, a request and an item are like changes the preferences."""

    def score(self, tensors: Tensors, target: np.ndarray, _left_s: float = 0.0) -> Scores:
        parts = (tensors.behavior, tensors.item[:, None])
        total = sum(part @ np.cos(np.arange(part.shape[-1])) for part in parts)
        preference = 1 / (1 + np.exp(-0.1 * total))
        score = preference @ target
        return Scores(preference, target, score, score)


class Outcomes:
    """Keeps what was ranked."""

    def __init__(self) -> None:
        self.seen: list[RankOutcome] = []

    def on_ranked(self, outcome: RankOutcome) -> None:
        self.seen.append(outcome)


@pytest.fixture
def store() -> MemoryRowStore:
    """One scenario; item b is of another genre than a."""
    store = MemoryRowStore()
    fold_states(store, SCHEMA, SCHEMA["scenario"], [("tv",)], [ScenarioState(1e9)], [(1, 0, 0)], np.zeros((1, 3)), 7)
    index_scenarios(store, SCHEMA, ["tv"], (1, 0, 0))
    states = [ItemState(1e9, category_attributes={"genre": genres}) for genres in (["war"], ["drama", "noir"])]
    positions = [(1, 0, 0), (1, 0, 1)]
    fold_states(store, SCHEMA, SCHEMA["item"], [("a",), ("b",)], states, positions, np.zeros((2, 3)), ENCODER)
    return store


def set_profile(
    store: MemoryRowStore, user: str, numbers: Mapping[str, float], values: Mapping[str, Sequence[str]]
) -> None:
    config = SCHEMA.config
    update = ProfileUpdates(
        user=np.array([user], object),
        time_s=np.array([1e9]),
        attributes=number_values(config.numbers_of("user"), numbers)[None],
        category_keys=category_keys(config.categories_of("user"), values)[None],
        position=np.array([(1, 0, 9)]),
    )
    fold_users(store, SCHEMA, arrays([], SCHEMA), ENCODER, update)


def ranker(store: MemoryRowStore, outcomes: Outcomes | None = None) -> Ranker:
    rows = open_row_sources(store, SCHEMA, ENCODER, 10, 1.0, 1.0, max_scenarios=64, positions=True)
    observers = (outcomes,) if outcomes else ()
    return Ranker(SCHEMA, rows, FixedModel(EveryValueModel()), clock=lambda: NOW_S, observers=observers)


def answer(ranker: Ranker, user: str, weather: Sequence[str] = ()) -> pb.RankResponse:
    request = pb.RankRequest(user_id=user, item_ids=["a", "b"], scenario_id="tv")
    if weather:
        request.context.category_attributes["weather"].values.extend(weather)
    return pb.RankResponse.FromString(rank(ranker, request, lambda: 9.0))


def scores(reply: pb.RankResponse) -> dict[str, float]:
    return {item.item_id: item.score for item in reply.items}


def reasons(reply: pb.RankResponse) -> list[int]:
    return [degradation.reason for degradation in reply.degraded]


def test_users_without_events_get_scores_of_their_attributes(store: MemoryRowStore) -> None:
    """Another job gives other scores, the same attributes the same ones; and nothing is said to be missing."""
    set_profile(store, "ann", {"age": 24}, {"job": ["student"]})
    set_profile(store, "bob", {"age": 24}, {"job": ["cook"]})
    set_profile(store, "eve", {"age": 24}, {"job": ["student"]})
    ranking = ranker(store)
    ann, bob, eve = (answer(ranking, user) for user in ("ann", "bob", "eve"))
    assert scores(ann) == scores(eve) != scores(bob)
    assert [] == reasons(ann) == reasons(bob)
    assert not ann.freshness.HasField("newest_user_event")


def test_a_user_without_events_and_attributes_is_unknown(store: MemoryRowStore) -> None:
    """So is one whose attributes were all unset."""
    set_profile(store, "ann", {}, {})
    assert [pb.DEGRADATION_REASON_UNKNOWN_USER] == reasons(answer(ranker(store), "ann"))
    assert [pb.DEGRADATION_REASON_UNKNOWN_USER] == reasons(answer(ranker(store), "nobody"))
    assert scores(answer(ranker(store), "ann")) == scores(answer(ranker(store), "nobody"))


def test_items_differ_by_their_categories(store: MemoryRowStore) -> None:
    """Which nothing else tells apart here."""
    found = scores(answer(ranker(store), "ann"))
    assert found["a"] != found["b"]


def test_categories_of_the_context_are_features_and_are_logged(store: MemoryRowStore) -> None:
    """So that the skew check can compute them again."""
    outcomes = Outcomes()
    ranking = ranker(store, outcomes)
    rain, snow, none = (scores(answer(ranking, "ann", weather)) for weather in (["rain"], ["snow"], []))
    assert rain != none != snow
    first = outcomes.seen[0]
    assert first.trace is not None
    record = build_record(first.query, first.trace, NOW_S, SCHEMA.fingerprint, 2)
    assert {"weather": ["rain"]} == {n: list(v.values) for n, v in record.context.category_attributes.items()}
