"""The store's feed of changed rows: on a real Valkey, whichever client writes them."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from services.features.rows import pack_rows
from services.features.schema import Schema, build_schema
from services.infra.commands import Endpoints
from services.ranking.cache.row_sources import open_refresher, open_row_sources
from services.settings.infrastructure import StoreSettings
from services.settings.load import Settings
from services.store.connect import open_rows, open_rows_for_batches
from services.store.protocol import ChangeFeed, Key, StoreUnavailable
from services.store.redis.feast_rows import FeastRowStore

pytestmark = pytest.mark.integration

WAIT_S = 10.0


@pytest.fixture
def settings(infra: Endpoints, tmp_path: Path) -> Settings:
    store = StoreSettings(
        url=infra.valkey_address, project=f"changes_{tmp_path.name}", registry=tmp_path / "registry.db"
    )
    return Settings(store=store)


@pytest.fixture
def schema(settings: Settings) -> Schema:
    return build_schema(settings.features)


@pytest.fixture
def writer(settings: Settings) -> FeastRowStore:
    return open_rows_for_batches(settings)


@pytest.fixture
def changes(settings: Settings, schema: Schema) -> Iterator[ChangeFeed]:
    views = [schema[name] for name in ("item", "item_scenario", "facet_activity")]
    changes = open_rows(settings).changes(views)
    yield changes
    changes.close()


def write(store: FeastRowStore, schema: Schema, view: str, *key: str, **values: float) -> None:
    row = pack_rows(schema[view], [None])
    columns = {name: np.array([value]) for name, value in values.items()}
    store.write([key], row.with_columns({**columns, "schema": np.array([schema.fingerprint])}))


def take_until(changes: ChangeFeed, view: str, key: Key) -> dict[str, set[Key]]:
    """The reported keys, up to and including this key."""
    everything: dict[str, set[Key]] = {}
    while key not in everything.get(view, set()):
        for name, keys in (changes.take(WAIT_S) or {}).items():
            everything.setdefault(name, set()).update(keys)
    return everything


def test_keys_of_written_rows_are_reported(changes: ChangeFeed, writer: FeastRowStore, schema: Schema) -> None:
    """After the first call, by entity; rows of users are not reported."""
    assert changes.take(0.0) is None
    write(writer, schema, "user", "u1")
    write(writer, schema, "item_activity", "i1")
    write(writer, schema, "item_scenario_activity", "i2", "tv")
    write(writer, schema, "facet_activity", "-5")
    expected = {"item": {("i1",)}, "item_scenario": {("i2", "tv")}, "facet_activity": {("-5",)}}
    assert expected == take_until(changes, "facet_activity", ("-5",))


def test_rows_of_other_projects_are_not_reported(
    changes: ChangeFeed, writer: FeastRowStore, schema: Schema, settings: Settings
) -> None:
    changes.take(0.0)
    other = settings.store.model_copy(update={"project": settings.store.project + "2"})
    write(open_rows_for_batches(settings.model_copy(update={"store": other})), schema, "item", "theirs")
    write(writer, schema, "item", "ours")
    assert {("ours",)} == take_until(changes, "item", ("ours",))["item"]


@pytest.mark.parametrize("kind", ["pubsub", "normal"])
def test_a_lost_connection_is_reported_and_opened_again(
    changes: ChangeFeed, writer: FeastRowStore, schema: Schema, kind: str
) -> None:
    """For both connections: writes in between may have been missed, and the feed reports that."""
    changes.take(0.0)
    client = writer._client()
    own = client.client_id()
    for each in client.client_list(_type=kind):
        if each["id"] != str(own):
            client.client_kill_filter(_id=each["id"])
    with pytest.raises(StoreUnavailable, match="no feed of changes"):
        while True:
            changes.take(0.1)
    assert changes.take(0.0) is None
    write(writer, schema, "item", "after")
    assert {("after",)} == take_until(changes, "item", ("after",))["item"]


def test_a_notified_cache_reads_only_changed_rows(settings: Settings, writer: FeastRowStore, schema: Schema) -> None:
    """The refresher over a real store: it warms the cache, and re-reads a written row though no row is old."""
    for number in range(5):
        write(writer, schema, "item", f"i{number}", price=float(number))
    store = open_rows(settings)
    rows = open_row_sources(store, schema, 7, 100, 3600.0, 3600.0, max_scenarios=64)
    refresher = open_refresher(rows, store, schema)
    assert refresher.warm(WAIT_S)
    assert 5 == len(rows.items)
    refresher.start()
    try:
        write(writer, schema, "item", "i3", price=99.0)
        prices = [0.0]
        while prices != pytest.approx([np.log1p(99.0), np.log1p(4.0)]):
            prices = rows.items.lookup(["i3", "i4"], ()).fields["items"].fixed[:, 1].tolist()
    finally:
        refresher.stop()
