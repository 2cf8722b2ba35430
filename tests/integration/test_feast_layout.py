"""Random rows between this store and Feast's own client, both ways."""

import uuid
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import redis

from services.errors import ConfigurationError
from services.features.config import Attribute, FeatureConfig
from services.features.feature import SCALAR, VARIABLE, Feature
from services.features.rows import Row, pack_rows
from services.features.schema import View, build_schema
from services.infra.commands import Endpoints
from services.settings.infrastructure import StoreSettings
from services.settings.load import Settings
from services.store.connect import open_rows_for_batches
from services.store.feast_api import FeatureStore, RepoConfig
from services.store.feast_registry import apply_definitions
from services.store.protocol import FencedWrite, Key, RowStore, read_rows
from services.store.redis.feast_rows import FeastRowStore
from tests.unit.store.row_store_suite import DELETABLE, VIEW, RowStoreSuite

pytestmark = pytest.mark.integration

ROWS = 40
# With declared attributes: Feast gives None for an empty list.
CONFIG = FeatureConfig(attributes=(Attribute("size", "item"), Attribute("shelves", "item_scenario")))
SCHEMA = build_schema(CONFIG)


def value_of(feature: Feature, random: np.random.Generator) -> np.ndarray:
    length = {VARIABLE: int(random.choice([0, 1, 13, 14, 200, 2100])), SCALAR: 1}.get(feature.length, feature.length)
    match feature.dtype:
        case "float64":
            values = random.normal(size=length) * 10.0 ** random.integers(-300, 300, length)
        case "int64":
            values = random.integers(-(2**63), 2**63 - 1, length) >> random.integers(0, 63, length)
        case _:
            values = random.choice(np.array(["tea", "чай\x1f\n", "茶" * 300, "x" * 126], object), length)
    return np.array(values[0], values.dtype) if feature.length == SCALAR else values


def random_rows(view: View, epoch: int = 1) -> tuple[list[Key], list[Row]]:
    random = np.random.default_rng(epoch)
    rows: list[Row] = []
    for number in range(ROWS):
        row = {feature.name: value_of(feature, random) for feature in view.features}
        times = {name: np.array(1.7e9 + number + 0.123456) for name in ("time_s", "updated_s") if name in row}
        fence = {"position": np.array([epoch, 0, number]), "schema": np.array(SCHEMA.fingerprint)}
        rows.append({**row, **times, **fence})
    return [tuple(f"{name} {number} чай" for name in view.entities) for number in range(ROWS)], rows


def assert_same(expected: list[Row], found: list[Row | None]) -> None:
    for row, back in zip(expected, found, strict=True):
        assert back is not None
        for name, value in row.items():
            np.testing.assert_array_equal(value, back[name], err_msg=name)


@pytest.fixture(scope="module")
def settings(infra: Endpoints, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    directory = tmp_path_factory.mktemp("layout")
    store = StoreSettings(
        url=infra.valkey_address,
        project=f"layout_{uuid.uuid4().hex[:8]}",
        registry=directory / "registry.db",
        offline_dir=directory / "offline",
    )
    return Settings(store=store, features=CONFIG)


@pytest.fixture(scope="module")
def own_store(settings: Settings) -> FeastRowStore:
    return open_rows_for_batches(settings)


@pytest.fixture(scope="module")
def feast_store(settings: Settings) -> FeatureStore:
    """Feast with its own Redis store over the same registry."""
    apply_definitions(settings)
    return FeatureStore(
        config=RepoConfig(
            project=settings.store.project,
            provider="local",
            registry=str(settings.store.registry),
            online_store={"type": "redis", "connection_string": settings.store.url},
            entity_key_serialization_version=3,
        )
    )


@pytest.mark.parametrize("view", SCHEMA.views, ids=lambda view: view.name)
def test_feast_reads_what_is_written_here(view: View, own_store: FeastRowStore, feast_store: FeatureStore) -> None:
    """`get_online_features` gives every value, to the bit; an empty list comes as None."""
    keys, rows = random_rows(view)
    own_store.write(keys, pack_rows(view, rows))
    names = [f"{view.name}:{feature.name}" for feature in view.features]
    entities = [dict(zip(view.entities, key, strict=True)) for key in keys]
    found = feast_store.get_online_features(features=names, entity_rows=entities).to_dict()
    for number, row in enumerate(rows):
        for name, value in row.items():
            back = found[name][number]
            np.testing.assert_array_equal(value, [] if back is None else back, err_msg=name)


@pytest.mark.parametrize("view", SCHEMA.views, ids=lambda view: view.name)
def test_what_feast_writes_is_read_here(view: View, own_store: FeastRowStore, feast_store: FeatureStore) -> None:
    """`write_to_online_store` with Feast's own Redis store, with newer timestamps."""
    keys, rows = random_rows(view, epoch=2)
    moment = datetime.now(UTC)
    records = [
        {
            **dict(zip(view.entities, key, strict=True)),
            **{name: value.tolist() for name, value in row.items()},
            "event_timestamp": moment,
        }
        for key, row in zip(keys, rows, strict=True)
    ]
    feast_store.write_to_online_store(view.name, pd.DataFrame(records))
    assert_same(rows, read_rows(own_store, view, keys))


@pytest.fixture(scope="module")
def without_attributes(settings: Settings) -> FeastRowStore:
    """A store of its own, under the schema of the suite."""
    store = settings.store.model_copy(update={"project": f"{settings.store.project}_suite"})
    return open_rows_for_batches(Settings(store=store))


class TestFeastRowStore(RowStoreSuite):
    """On a real server: the fence is the Redis script's."""

    @pytest.fixture
    def empty(self, without_attributes: FeastRowStore) -> RowStore:
        for view in (VIEW, DELETABLE):
            without_attributes.drop(view)
        return without_attributes


def test_feasts_writes_through_this_store_are_fenced(settings: Settings, own_store: FeastRowStore) -> None:
    """A row with an older position is rejected on every write path."""
    view, moment = SCHEMA["scenario_index"], datetime.now(UTC)
    (key, *_), (row, *_) = random_rows(view)
    new, old = ({**row, "position": np.array([1, 0, offset])} for offset in (9, 8))
    own_store.write([key], pack_rows(view, [new]))
    record = {"index_id": key[0], **{name: value.tolist() for name, value in old.items()}, "event_timestamp": moment}
    with pytest.raises(FencedWrite):
        apply_definitions(settings).write_to_online_store(view.name, pd.DataFrame([record]))
    assert_same([new], read_rows(own_store, view, [key]))


def test_scripts_are_loaded_again_after_the_server_lost_them(settings: Settings, own_store: FeastRowStore) -> None:
    """For example after a restart."""
    view = SCHEMA["user"]
    keys, rows = random_rows(view, epoch=3)
    host, port = settings.store.url.split(":")
    with redis.Redis(host, int(port)) as client:
        client.script_flush()
    own_store.write(keys, pack_rows(view, rows))
    assert_same(rows, read_rows(own_store, view, keys))


def test_a_registry_file_of_something_else_is_refused(tmp_path: Path) -> None:
    """With the setting, not with an error of the format."""
    (tmp_path / "r.db").write_bytes(b"\x00\xff garbage")
    settings = Settings(store=StoreSettings(registry=tmp_path / "r.db", offline_dir=tmp_path))
    with pytest.raises(ConfigurationError, match=r"store.registry: .*r.db is not a registry of Feast"):
        apply_definitions(settings)
