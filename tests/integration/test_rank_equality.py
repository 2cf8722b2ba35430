"""The fast path against Feast's: the same answers to random requests, while the underlying rows change all the time.

Feast's path is `get_online_features` with Feast's own Redis store; the fast path is the server's, with rows in memory
that only the refresher brings up to date.
"""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import cast

import numpy as np
import pytest

from crossrec.ranking.v1.ranking_pb2 import RankOptions, RankRequest, RankResponse, RequestContext
from services.features.catalogue import ItemState, ScenarioState
from services.features.config import DAY_S
from services.features.encode import encode
from services.features.feature_rows import FeatureRows
from services.features.recognition import user_prior
from services.infra.commands import Endpoints
from services.ranking.cache.refresh import Refresher
from services.ranking.cache.row_sources import RowSources, open_row_sources
from services.ranking.model.ab_split import FixedModel
from services.ranking.pipeline import Ranker, rank
from services.registry.model import Scores
from services.settings.infrastructure import StoreSettings
from services.settings.load import Settings
from services.store.connect import open_rows_for_batches
from services.store.feast_api import FeatureStore, RepoConfig
from services.store.feast_registry import apply_definitions
from services.store.folding import erase_user, fold_states
from services.store.protocol import ChangeFeed, Key
from services.store.redis.feast_rows import FeastRowStore
from tests.bench.feast_path import FeastPath
from tests.contract.rank_server import ENCODER, NOW_S, SCHEMA, History, WideModel
from tests.waiting import wait_until

pytestmark = pytest.mark.integration

TOLERANCE = 1e-6
SEED, ROUNDS, REQUESTS = 1, 20, 50
SCENARIOS = ["shelf", "tv", "web", "late"]
"""The last one is described in the middle."""
USERS = [*(f"user {number}" for number in range(12)), "ünï\x00"]
ITEMS = [f"item {number}" for number in range(120)]
CANDIDATES = 24
KINDS = ("impression", "click", "add_to_cart", "purchase")
NEVER_STALE_S = 3600.0
"""Rows in memory are read again only because the refresher knows that they changed."""
TRACKED = ("item", "item_scenario", "facet_activity")


@dataclass
class Shop(History):
    """Writes random histories; the same seed gives the same one."""

    random: np.random.Generator = field(default_factory=lambda: np.random.default_rng(SEED))

    def describe(self, count: int) -> None:
        """New states of random items, or their deletion; prices, categories and attributes are not always known."""
        chosen = self.random.choice(ITEMS[:-10], count, replace=False).tolist()
        states = [None if self.random.random() < 0.05 else self._state(item) for item in chosen]
        vectors = self.random.normal(size=(count, SCHEMA.config.text_dims))
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        self._fold(chosen, states, vectors)

    def mark(self, item: str) -> None:
        """Describe an item that no request contains."""
        self._fold([item], [ItemState(NOW_S)], np.eye(SCHEMA.config.text_dims)[:1])

    def rename(self, *scenarios: str) -> None:
        """New states of scenarios."""
        states = [ScenarioState(NOW_S - 10.0 + self.offset * 1e-3, f"{name} {self.offset}") for name in scenarios]
        keys, positions = [(name,) for name in scenarios], self._positions(len(scenarios)).tolist()
        vectors = np.roll(np.eye(SCHEMA.config.text_dims), self.offset, axis=0)[: len(scenarios)]
        fold_states(self.store, SCHEMA, SCHEMA["scenario"], cast(list[Key], keys), states, positions, vectors, ENCODER)

    def record_events(self, count: int, scenarios: list[str]) -> None:
        """Events of random users; some of their items have no description."""
        drawn = [tuple(map(str, map(self.random.choice, (USERS[:-2], scenarios, ITEMS)))) for _ in range(count)]
        ago_s = float(self.random.exponential(DAY_S))
        self.events(*cast(list[tuple[str, str, str]], drawn), kind=str(self.random.choice(KINDS)), time_s=NOW_S - ago_s)

    def set_attributes(self, count: int, scenarios: list[str]) -> None:
        """Attributes of random items in random scenarios."""
        chosen = self.random.choice(ITEMS, count, replace=False).tolist()
        self.margins(*[(item, str(self.random.choice(scenarios)), float(self.random.normal())) for item in chosen])

    def erase(self, user: str) -> None:
        """Erase a user, who may have events again later."""
        erase_user(self.store, SCHEMA, user, NOW_S - DAY_S, self._positions(1)[0].tolist())

    def _state(self, item: str) -> ItemState:
        categories = [str(self.random.integers(3)) for _ in range(self.random.integers(4))]
        return ItemState(
            time_s=NOW_S - float(self.random.exponential(DAY_S)),
            title=item,
            categories=categories,
            brand=str(self.random.choice(["", "a", "b"])),
            price=float(self.random.choice([-1.0, 0.0, 2.5, 1e4])),
            attributes={"weight": float(self.random.normal())} if self.random.random() < 0.7 else {},
        )

    def _fold(self, items: list[str], states: list[ItemState | None], vectors: np.ndarray) -> None:
        keys, positions = cast(list[Key], [(item,) for item in items]), self._positions(len(items)).tolist()
        fold_states(self.store, SCHEMA, SCHEMA["item"], keys, states, positions, vectors, ENCODER)


class RecordingFeed:
    """Forwards the changes, and records which items the refresher has already processed."""

    def __init__(self, changes: ChangeFeed) -> None:
        self._changes, self._taken, self.done = changes, set[str](), set[str]()

    def take(self, wait_s: float) -> dict[str, set[Key]] | None:
        self.done |= self._taken  # the refresher has re-read the previous changes before it takes the next ones
        changed = self._changes.take(wait_s)
        self._taken = {key[0] for key in (changed or {}).get("item", set())}
        return changed

    def close(self) -> None:
        self._changes.close()


@pytest.fixture(scope="module")
def settings(infra: Endpoints, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    directory = tmp_path_factory.mktemp("equality")
    store = StoreSettings(
        url=infra.valkey_address,
        project=f"equality_{uuid.uuid4().hex[:8]}",
        registry=directory / "registry.db",
        offline_dir=directory / "offline",
    )
    return Settings(store=store, features=SCHEMA.config)


@pytest.fixture(scope="module")
def shop(settings: Settings) -> Shop:
    """A shop with some history, in Valkey."""
    shop = Shop(open_rows_for_batches(settings))
    shop.scenarios(*SCENARIOS[:-1])
    shop.describe(60)
    shop.record_events(60, SCENARIOS[:-1])
    return shop


@pytest.fixture(scope="module")
def feast_store(settings: Settings) -> FeatureStore:
    """Feast as any user configures it."""
    apply_definitions(settings)
    redis = {"type": "redis", "connection_string": settings.store.url}
    return FeatureStore(
        config=RepoConfig(
            project=settings.store.project,
            provider="local",
            registry=str(settings.store.registry),
            online_store=redis,
            entity_key_serialization_version=3,
        )
    )


@dataclass
class FastPath:
    """The server's ranking of a request, and the refresher beside it."""

    rows: RowSources
    feed: RecordingFeed

    def rank(self, request: RankRequest) -> RankResponse:
        ranker = Ranker(SCHEMA, self.rows, FixedModel(WideModel()), clock=lambda: NOW_S)
        return RankResponse.FromString(rank(ranker, request, lambda: 60.0))


def catch_up(shop: Shop, *paths: FastPath) -> None:
    """Wait until all refreshers have processed all writes."""
    marker = f"marker {shop.offset}"
    shop.mark(marker)
    wait_until(lambda: all(marker in path.feed.done for path in paths))


@contextmanager
def fast_path(shop: Shop, cache_size: int) -> Iterator[FastPath]:
    """A warm fast path with a running refresher."""
    store = cast(FeastRowStore, shop.store)
    rows = open_row_sources(store, SCHEMA, ENCODER, cache_size, NEVER_STALE_S, scenario_age_s=0.0, max_scenarios=64)
    feed = RecordingFeed(store.changes([SCHEMA[name] for name in TRACKED]))
    refresher = Refresher(rows.items, rows.scenarios, feed, [key[0] for key in store.ids(SCHEMA["item"])])
    assert refresher.warm(60.0)
    refresher.start()
    try:
        yield FastPath(rows, feed)
    finally:
        refresher.stop()


def random_request(random: np.random.Generator, scenarios: list[str]) -> RankRequest:
    """Known and unknown users, scenarios and items, at times from 1980 to tomorrow."""
    ago_s = float(random.choice([0.0, random.exponential(DAY_S), 40 * 365 * DAY_S, -random.uniform(0, DAY_S - 1)]))
    request = RankRequest(
        user_id=str(random.choice([*USERS, "nobody"])),
        scenario_id=str(random.choice([*scenarios, "", "radio"])),
        item_ids=random.choice([*ITEMS, "unheard of"], random.integers(1, CANDIDATES), replace=False).tolist(),
        context=RequestContext(attributes={"hour": float(random.uniform(0, 24))} if random.random() < 0.7 else {}),
        options=RankOptions(explain=True),
    )
    request.request_time.FromNanoseconds(round((NOW_S - ago_s) * 1e9))
    return request


def target_of(request: RankRequest, scenarios: list[str], rows: FeatureRows) -> np.ndarray:
    """The posterior over target scenarios, where no recogniser is registered."""
    if request.scenario_id in scenarios:
        return np.eye(len(scenarios))[scenarios.index(request.scenario_id)]
    if request.scenario_id:
        return np.full(len(scenarios), 1 / len(scenarios))
    time_s = np.array([rows.time_s])
    return user_prior(SCHEMA.config, time_s, rows.user_scenario, rows.scenario_activity)[0]


def feast_scores(path: FeastPath, request: RankRequest) -> Scores:
    """The model's scores for the rows that Feast returns."""
    rows = path.hydrate(request)
    return WideModel().score(encode(SCHEMA, rows), target_of(request, path.scenarios, rows))


def differences(request: RankRequest, answer: RankResponse, expected: Scores) -> dict[str, float]:
    """The largest difference of each kind of number, over all candidates and scenarios."""
    found = {item.item_id: item for item in answer.items}
    items = [found[item] for item in request.item_ids]
    preference = np.array([[part.preference for part in item.contributions] for item in items])
    return {
        "score": _most([item.score for item in items], expected.score),
        "probability": _most([item.probability for item in items], expected.probability),
        "preference": _most(preference, expected.preference),
        "transfer": _most([line.weight for line in answer.transfer_weights], expected.transfer),
    }


def _most(found: list[float] | np.ndarray, expected: np.ndarray) -> float:
    assert np.shape(found) == expected.shape
    return float(np.abs(np.array(found) - expected).max())


@pytest.fixture
def fast(shop: Shop) -> Iterator[tuple[FastPath, FastPath]]:
    """One that holds all items, and one whose items are evicted all the time."""
    with fast_path(shop, 1000) as roomy, fast_path(shop, 2 * CANDIDATES) as narrow:
        yield roomy, narrow


def test_a_thousand_random_requests_have_the_scores_of_feasts_rows(
    shop: Shop, feast_store: FeatureStore, fast: tuple[FastPath, FastPath]
) -> None:
    """To 1e-6, after each of many changes: rows in memory are never older than what was written before."""
    random, scenarios = np.random.default_rng(SEED), SCENARIOS[:-1]
    spread = set[float]()
    for number in range(ROUNDS):
        if number == ROUNDS // 2:
            shop.scenarios(SCENARIOS[-1])
            scenarios = SCENARIOS
        shop.describe(8)
        shop.record_events(15, scenarios)
        shop.set_attributes(6, scenarios)
        shop.rename(scenarios[number % len(scenarios)])
        if number % 5 == 4:
            shop.erase(USERS[number % 7])
        catch_up(shop, *fast)
        path = FeastPath(feast_store, SCHEMA, ENCODER)
        assert sorted(scenarios) == path.scenarios
        for place in range(REQUESTS):
            request = random_request(random, scenarios)
            expected = feast_scores(path, request)
            spread.update(expected.score.tolist())
            for size, each in zip(("roomy", "narrow"), fast, strict=True):
                worst = differences(request, each.rank(request), expected)
                at = f"seed {SEED}, round {number}, request {place}, {size} cache"
                assert max(worst.values()) <= TOLERANCE, f"{at}: {worst}\n{request}"
    assert len(spread) > REQUESTS * ROUNDS  # the scores are not all alike
