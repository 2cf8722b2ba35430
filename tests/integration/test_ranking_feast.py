"""Rank over Feast on a real Valkey: the same rows give the same answer, and every Feast client reads them."""

import subprocess
import sys
import uuid
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from crossrec.ranking.v1.ranking_pb2 import RankOptions, RankRequest, RequestContext
from services.features.encode import encode
from services.features.feature_rows import assemble_rows
from services.features.hashing import NO_KEY, facet_keys, keys64
from services.features.schema import View
from services.infra.commands import Endpoints
from services.registry.model import Scores
from services.settings.infrastructure import StoreSettings
from services.settings.load import Settings
from services.store.connect import open_rows
from services.store.feast_api import FeatureStore, RepoConfig
from services.store.feast_registry import REPOSITORY, apply_definitions, feast_environment
from services.store.folding import collect_facets, erase_user
from services.store.memory import MemoryRowStore
from services.store.protocol import Key, RowStore, read_block, read_rows
from tests.contract.rank_server import ENCODER, NOW_S, SCHEMA, History, RankServer, WideModel, running

pytestmark = pytest.mark.integration

SCENARIOS = ["shelf", "tv", "web"]
USERS = ["ann", "bob", "cleo"]
ITEMS = [f"item {number}" for number in range(12)]
IDS = {
    "scenario_id": SCENARIOS,
    "user_id": USERS,
    "erased_user_id": USERS,
    "item_id": ITEMS,
    "index_id": ["all"],
    "topic": ["crossrec.behavior"],
}
"""Every id of the history, by entity."""


def write_history(store: RowStore) -> None:
    """The same rows in any store: descriptions, and events of all users in all scenarios, in several batches."""
    random, history = np.random.default_rng(1), History(store)
    history.scenarios(*SCENARIOS)
    history.items(*ITEMS, texts=random.integers(0, SCHEMA.config.text_dims, len(ITEMS)).tolist())
    history.margins(*[(item, random.choice(SCENARIOS), random.normal()) for item in ITEMS])
    for batch in range(6):
        kind = ("impression", "click", "purchase")[batch % 3]
        events = [tuple(random.choice(ids) for ids in (USERS, SCENARIOS, ITEMS[:-2])) for _ in range(15)]
        history.events(*events, kind=kind, time_s=NOW_S - 3600 * (6 - batch))
    erase_user(store, SCHEMA, "nobody", NOW_S - 7200, (1, 0, 0))


def facets_of_item(item: str) -> list[int]:
    """Keys of the item's categories and brand, as the history describes it."""
    keys = facet_keys(("drinks", item), "b", SCHEMA.config.category_levels).tolist()
    return [key for key in keys if key != NO_KEY]


def keys_of(view: View) -> list[Key]:
    """The keys of all possible rows of a view, and one without a row."""
    if view.name == "facet_activity":
        return [*((str(key),) for item in ITEMS for key in facets_of_item(item)), ("0",)]
    return [*product(*(IDS[entity] for entity in view.entities)), ("nobody",) * len(view.entities)]


@pytest.fixture(scope="module")
def settings(infra: Endpoints, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A Feast project of this module's own."""
    directory = tmp_path_factory.mktemp("feast")
    store = StoreSettings(
        url=infra.valkey_address,
        project=f"ranking_{uuid.uuid4().hex[:8]}",
        registry=directory / "registry.db",
        offline_dir=directory / "offline",
        read_timeout_s=20.0,
    )
    return Settings(store=store, features=SCHEMA.config)


@pytest.fixture(scope="module")
def online(settings: Settings) -> RowStore:
    """The history in Valkey."""
    store = open_rows(settings)
    write_history(store)
    return store


@pytest.fixture(scope="module")
def memory() -> MemoryRowStore:
    """The history in memory."""
    store = MemoryRowStore()
    write_history(store)
    return store


def expected_scores(store: RowStore, user: str, target: int) -> Scores:
    """The model's scores of all items, from rows that are read one view after the other."""
    pairs = list(product(ITEMS, SCENARIOS))
    keys: dict[str, list[Key]] = {
        "scenario": [(scenario,) for scenario in SCENARIOS],
        "scenario_activity": [(scenario,) for scenario in SCENARIOS],
        "user": [(user,)],
        "user_scenario": [(user, scenario) for scenario in SCENARIOS],
        "item": [(item,) for item in ITEMS],
        "item_activity": [(item,) for item in ITEMS],
        "item_scenario": pairs,
        "item_scenario_activity": pairs,
    }
    keys["facet_activity"], item_facet = collect_facets(read_block(store, SCHEMA["item"], keys["item"]))
    blocks = {view: read_block(store, SCHEMA[view], wanted) for view, wanted in keys.items()}
    rows = assemble_rows(
        SCHEMA,
        blocks,
        time_s=NOW_S,
        encoder=ENCODER,
        item_key=keys64(ITEMS),
        item_facet=item_facet,
        pair_request=np.zeros(len(ITEMS), np.int64),
        pair_item=np.arange(len(ITEMS)),
        context=np.array([[20.0]]),
    )
    return WideModel().score(encode(SCHEMA, rows), np.eye(len(SCENARIOS))[target])


def request(user: str, scenario: str) -> RankRequest:
    context, options = RequestContext(attributes={"hour": 20.0}), RankOptions(explain=True)
    return RankRequest(user_id=user, scenario_id=scenario, item_ids=ITEMS, context=context, options=options)


@pytest.fixture(scope="module")
def servers(online: RowStore, memory: MemoryRowStore) -> Iterator[tuple[RankServer, RankServer]]:
    """The same server over Valkey and over memory."""
    with running(online, WideModel()) as over_valkey, running(memory, WideModel()) as over_memory:
        yield over_valkey, over_memory


@pytest.mark.parametrize("scenario", SCENARIOS)
@pytest.mark.parametrize("user", [*USERS, "nobody"])
def test_rank_over_feast_is_the_model_on_the_same_rows(
    servers: tuple[RankServer, RankServer], memory: MemoryRowStore, user: str, scenario: str
) -> None:
    """Scores, probabilities and preferences to 1e-6, best first."""
    answer, expected = (
        servers[0].rank(request(user, scenario)),
        expected_scores(memory, user, SCENARIOS.index(scenario)),
    )
    assert [item.item_id for item in answer.items] == [ITEMS[n] for n in np.argsort(-expected.score, kind="stable")]
    for item in answer.items:
        place = ITEMS.index(item.item_id)
        assert item.score == pytest.approx(expected.score[place], abs=1e-6)
        assert item.probability == pytest.approx(expected.probability[place], abs=1e-6)
        assert [part.preference for part in item.contributions] == pytest.approx(expected.preference[place], abs=1e-6)
    assert [line.weight for line in answer.transfer_weights] == pytest.approx(expected.transfer, abs=1e-6)


@pytest.mark.parametrize("scenario", ["tv", "", "radio"], ids=["known", "not named", "unknown"])
@pytest.mark.parametrize("user", [*USERS, "nobody"])
def test_valkey_and_memory_give_the_same_answer(
    servers: tuple[RankServer, RankServer], user: str, scenario: str
) -> None:
    """Field by field, except for the token and the age of the rows, which are each answer's own."""
    online, memory = (server.rank(request(user, scenario)) for server in servers)
    for answer in (online, memory):
        answer.ClearField("attribution_token")
        answer.freshness.ClearField("oldest_item_read_ms")
    assert online == memory
    assert online.freshness.HasField("newest_user_event") == (user != "nobody")


@pytest.mark.parametrize(
    "name", [view.name for view in SCHEMA.views if view.name not in ("topic_state", "schema_lineage")]
)
def test_rows_in_valkey_are_the_rows_in_memory(online: RowStore, memory: MemoryRowStore, name: str) -> None:
    """Every view, every key, to the last bit; missing rows are missing in both."""
    view = SCHEMA[name]
    pairs = list(zip(read_rows(online, view, keys_of(view)), read_rows(memory, view, keys_of(view)), strict=True))
    assert any(row is not None for pair in pairs for row in pair)
    for found, expected in pairs:
        assert (found is None) == (expected is None)
        for feature in view.features if found and expected else ():
            np.testing.assert_array_equal(found[feature.name], expected[feature.name])


@pytest.fixture(scope="module")
def feast_store(settings: Settings, online: RowStore) -> FeatureStore:
    """Feast as any user configures it: the same registry, Feast's own Redis store."""
    del online  # only has to be written
    ours = apply_definitions(settings).config
    redis = {"type": "redis", "connection_string": settings.store.url}
    return FeatureStore(
        config=RepoConfig(
            project=ours.project,
            provider="local",
            registry=str(settings.store.registry),
            online_store=redis,
            entity_key_serialization_version=3,
        )
    )


@pytest.mark.parametrize("name", [view.name for view in SCHEMA.views])
def test_any_feast_client_reads_the_same_values(feast_store: FeatureStore, online: RowStore, name: str) -> None:
    """`get_online_features` with Feast's own Redis store; None where there is no row."""
    view, keys = SCHEMA[name], keys_of(SCHEMA[name])
    found = feast_store.get_online_features(
        features=[f"{name}:{feature.name}" for feature in view.features],
        entity_rows=[dict(zip(view.entities, key, strict=True)) for key in keys],
    ).to_dict()
    for number, row in enumerate(read_rows(online, view, keys)):
        for feature in view.features:
            value = found[feature.name][number]
            if row is None:
                assert value is None
            else:
                np.testing.assert_array_equal([] if value is None else value, row[feature.name])


def test_the_feature_service_serves_what_ranking_reads(feast_store: FeatureStore, online: RowStore) -> None:
    """One call by the service's name gives the user's and the item's rows of one scenario."""
    service = feast_store.get_feature_service("ranking")
    facet = str(facets_of_item(ITEMS[0])[0])
    entities = {"user_id": "ann", "item_id": ITEMS[0], "scenario_id": "tv", "facet_key": facet}
    found = feast_store.get_online_features(features=service, entity_rows=[entities], full_feature_names=True).to_dict()
    (item,), (user,) = read_rows(online, SCHEMA["item"], [(ITEMS[0],)]), read_rows(online, SCHEMA["user"], [("ann",)])
    assert item is not None
    assert user is not None
    assert found["item__title"] == [ITEMS[0]]
    np.testing.assert_array_equal(found["user__counts"][0], user["counts"])
    np.testing.assert_array_equal(found["item__text_vector"][0], item["text_vector"])


def test_the_feast_command_works_in_the_repository(infra: Endpoints, tmp_path: Path) -> None:
    """`feast apply` registers all views, `feast feature-views list` shows exactly them."""
    store = StoreSettings(url=infra.valkey_address, registry=tmp_path / "registry.db", offline_dir=tmp_path / "offline")
    environment = feast_environment(Settings(store=store))
    feast = Path(sys.executable).with_name("feast")

    def run(*arguments: str) -> str:
        done = subprocess.run(
            [feast, *arguments], cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    run("apply")
    listed = run("feature-views", "list")
    assert {view.name for view in SCHEMA.views} == {line.split()[0] for line in listed.splitlines()[1:] if line}
