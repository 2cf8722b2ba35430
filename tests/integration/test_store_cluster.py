"""The online store on a real Valkey cluster: several host:port in `store.url`, with failovers and moving slots."""

import random
import signal
import threading
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from redis.crc import key_slot

from services.doctor.check import CheckState
from services.doctor.store import store_checks
from services.features.rows import Row, pack_rows
from services.settings.infrastructure import StoreSettings
from services.settings.load import Settings
from services.store.connect import open_rows, open_rows_for_batches
from services.store.feast_api import FeatureStore
from services.store.feast_registry import REPOSITORY, apply_definitions, feast_environment
from services.store.folding import erase_user
from services.store.protocol import (
    FencedWrite,
    Key,
    StoreDenied,
    StoreUnavailable,
    existing_rows,
    read_block,
    read_rows,
)
from services.store.redis.cluster import StoreCluster
from services.store.redis.feast_rows import FeastRowStore
from tests.chaos.valkey_cluster import ClusterNode, ValkeyCluster, valkey_cluster
from tests.integration.store_user import USER, rule_of
from tests.integration.test_feast_layout import assert_same, random_rows
from tests.unit.store.row_store_suite import DELETABLE, SCHEMA, VIEW, RowStoreSuite, block
from tests.waiting import wait_until

pytestmark = pytest.mark.integration

USERS = SCHEMA["user_scenario"]
KEYS: list[Key] = [(f"u{number}", "tv") for number in range(300)]
"""Enough that every node has some."""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ValkeyCluster]:
    with valkey_cluster(tmp_path_factory.mktemp("cluster")) as cluster:
        yield cluster


def settings_of(cluster: ValkeyCluster, folder: Path, **store: object) -> Settings:
    given: dict[str, object] = {
        "url": cluster.url,
        "project": f"cluster_{uuid.uuid4().hex[:8]}",
        "registry": folder / "registry.db",
        "offline_dir": folder,
    }
    return Settings(store=StoreSettings(**{**given, **store}))


@pytest.fixture(scope="module")
def settings(cluster: ValkeyCluster, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return settings_of(cluster, tmp_path_factory.mktemp("rows"))


@pytest.fixture
def rows(settings: Settings, cluster: ValkeyCluster) -> FeastRowStore:
    """The store as consumers open it, on a complete cluster."""
    cluster.wait_until_ok()
    return open_rows_for_batches(settings)


def times(store: FeastRowStore, keys: Sequence[Key]) -> list[float]:
    return [-1.0 if row is None else float(row["time_s"]) for row in read_rows(store, USERS, keys)]


def write(store: FeastRowStore, keys: Sequence[Key], offset: int) -> None:
    """Rows at an offset, whose value is the offset."""
    store.write(keys, block(*[((9, 0, offset), float(offset)) for _ in keys], view=USERS))


class TestClusterRowStore(RowStoreSuite):
    """Fences, deletions and reads are those of a single server."""

    @pytest.fixture
    def empty(self, rows: FeastRowStore) -> FeastRowStore:
        for view in (VIEW, DELETABLE):
            rows.drop(view)
        return rows


def test_every_node_holds_a_part(rows: FeastRowStore, cluster: ValkeyCluster) -> None:
    keys, found = random_rows(USERS, epoch=8)
    stored: list[Row] = [{**row, "schema": np.array(SCHEMA.fingerprint)} for row in found]
    rows.write(keys, pack_rows(USERS, stored))
    assert_same(stored, read_rows(rows, USERS, keys))
    assert min(node.ask("DBSIZE") for node in cluster.primaries()) > 0
    older: list[Row] = [{**row, "position": row["position"] - [0, 0, 1]} for row in stored]
    with pytest.raises(FencedWrite, match=f"{len(keys)} of {len(keys)} rows"):
        rows.write(keys, pack_rows(USERS, older))


def test_rows_of_whole_views_are_found_expired_and_dropped(settings: Settings, rows: FeastRowStore) -> None:
    """On all nodes; as `crossrec setup`, rewind and export do."""
    rows.drop(USERS)
    write(rows, KEYS, 1)
    assert set(KEYS) == set(rows.ids(USERS))
    kept = settings.store.model_copy(update={"user_retention_days": 1})
    assert len(KEYS) == open_rows_for_batches(settings.model_copy(update={"store": kept})).expire(USERS)
    assert len(KEYS) == rows.drop(USERS)
    assert [] == list(rows.ids(USERS))


def test_a_user_is_erased(rows: FeastRowStore) -> None:
    """The rows of the user and of its scenarios lie on several nodes."""
    user = SCHEMA["user"]
    scenarios = [f"s{number}" for number in range(50)]
    pairs: list[Key] = [("gone", scenario) for scenario in scenarios]
    write(rows, pairs, 1)
    listed = pack_rows(user, [None]).with_columns(
        {"position": np.array([[9, 0, 1]]), "schema": np.array([SCHEMA.fingerprint])}
    )
    (row,) = read_rows(rows, user, [("gone",)])
    assert row is None
    stored = {
        **{feature.name: listed.fixed[feature.name][0] for feature in user.features if feature.name in listed.fixed},
        **{feature.name: np.array([], object) for feature in user.features if feature.name in listed.ragged},
        "scenario_ids": np.array(scenarios, object),
    }
    rows.write([("gone",)], pack_rows(user, [stored]))
    erase_user(rows, SCHEMA, "gone", 5.0, (9, 0, 2))
    assert not existing_rows(read_block(rows, USERS, pairs)).any()
    assert [None] == read_rows(rows, user, [("gone",)])
    with pytest.raises(FencedWrite):
        write(rows, pairs[:1], 1)


def test_feast_reads_the_rows_by_its_own_settings_file(
    settings: Settings, rows: FeastRowStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Several nodes make its store a cluster."""
    write(rows, KEYS, 2)
    apply_definitions(settings)
    for name, value in feast_environment(settings).items():
        monkeypatch.setenv(name, value)
    entities = [{"user_id": user, "scenario_id": scenario} for user, scenario in KEYS]
    found = FeatureStore(repo_path=str(REPOSITORY)).get_online_features(["user_scenario:time_s"], entities).to_dict()
    assert [2.0] * len(KEYS) == found["time_s"]


def test_the_doctor_checks_every_node(settings: Settings, cluster: ValkeyCluster) -> None:
    """A single node's address and a server that is no cluster are wrong."""
    states = {check.name: check.state for check in store_checks(settings.store)}
    assert CheckState.WRONG not in states.values()
    single = settings.store.model_copy(update={"url": cluster.nodes[0].address})
    assert CheckState.WRONG in {check.state for check in store_checks(single)}


def test_the_rights_of_the_guide_suffice_on_a_cluster(cluster: ValkeyCluster, tmp_path: Path) -> None:
    """On every node; a node that grants fewer is noticed."""
    given = settings_of(cluster, tmp_path, username=USER, password="hunter2")  # noqa: S106
    rule = rule_of(given.store.project, "hunter2")
    for node in cluster.nodes:
        node.ask("ACL", "SETUSER", USER, "reset", *rule)
    rows = open_rows_for_batches(given)
    rows.check_rights()
    write(rows, KEYS, 1)
    assert set(KEYS) == set(rows.ids(USERS))
    assert len(KEYS) == rows.drop(USERS)
    cluster.primaries()[1].ask("ACL", "SETUSER", USER, "-evalsha")
    with pytest.raises(StoreDenied, match=f"user {USER} .*evalsha"):
        rows.check_rights()


@contextmanager
def writing(store: FeastRowStore) -> Iterator[list[int]]:
    """Write all rows at rising offsets in a thread, with retries as consumers make them; yields the written offsets."""
    stop, written, errors = threading.Event(), list[int](), list[Exception]()

    def run() -> None:
        offset = 100
        while not stop.is_set():
            try:
                write(store, KEYS, offset)
            except StoreUnavailable:
                stop.wait(0.05)
            except Exception as error:
                errors.append(error)
                return
            else:
                written.append(offset)
                offset += 1

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield written
    finally:
        stop.set()
        thread.join()
    assert [] == errors


def progress(written: list[int], writes: int = 3) -> None:
    """Wait for further writes to succeed."""
    begun = len(written)
    wait_until(lambda: len(written) >= begun + writes, what="writes to succeed")


def dies(node: ClusterNode) -> None:
    node.kill()


def freezes(node: ClusterNode) -> None:
    node.signal(signal.SIGSTOP)


@pytest.mark.parametrize("fault", [dies, freezes])
def test_readers_and_writers_recover_from_a_failover(
    fault: object, settings: Settings, rows: FeastRowStore, cluster: ValkeyCluster
) -> None:
    """Without a restart: the new owner is found although no node answers MOVED."""
    reader = open_rows(settings)
    rows.drop(USERS)
    quick = settings.store.model_copy(update={"read_timeout_s": 0.5})
    writer = FeastRowStore(quick, SCHEMA)
    with writing(writer) as written:
        progress(written)
        assert len(KEYS) == len([time_s for time_s in times(reader, KEYS) if time_s >= 100])
        victim = cluster.primaries()[0]
        fault(victim)  # type: ignore[operator]
        wait_until(lambda: victim not in cluster.primaries(), what="the failover")
        progress(written)

        def recovered() -> bool:
            try:
                return min(times(reader, KEYS)) >= written[0]
            except StoreUnavailable:
                return False

        wait_until(recovered, what="the reader to recover")
        victim.kill()
        victim.start()
        cluster.wait_until_ok()
        progress(written)
    rows.drop(USERS)


def test_writes_go_on_while_slots_move(rows: FeastRowStore, cluster: ValkeyCluster) -> None:
    """ASK is followed for single commands, scripts are loaded into the target, nothing is lost."""
    rows.drop(USERS)
    chance = random.Random(5)
    with writing(rows) as written:
        progress(written)
        for _ in range(3):
            source, target = chance.sample(cluster.primaries(), 2)
            assert cluster.move_slots(source, target, 60, chance) > 0
        cluster.fail_over(cluster.replica_of(source) or source)
        progress(written)
    assert [float(written[-1])] * len(KEYS) == times(rows, KEYS)
    assert set(KEYS) == set(rows.ids(USERS))


def test_a_half_moved_slot_is_read_and_written(rows: FeastRowStore, cluster: ValkeyCluster) -> None:
    """The source answers ASK for keys that it no longer has, and serves those that it has."""
    rows.drop(USERS)
    write(rows, KEYS, 1)
    source, target = cluster.primaries()[:2]
    client = rows._client()
    assert isinstance(client, StoreCluster)
    redis_keys = rows._layout(USERS).encode_keys(KEYS)
    by_slot: dict[int, list[int]] = {}
    for place, key in enumerate(redis_keys):
        if client.owner(key).port == source.port:
            by_slot.setdefault(key_slot(key), []).append(place)
    slot, places = next(iter(by_slot.items()))
    target.ask("CLUSTER", "SETSLOT", slot, "IMPORTING", cluster._id(source))
    source.ask("CLUSTER", "SETSLOT", slot, "MIGRATING", cluster._id(target))
    for place in places:
        source.ask("MIGRATE", "127.0.0.1", target.port, redis_keys[place], 0, 10_000)
    assert [1.0] * len(KEYS) == times(rows, KEYS)
    write(rows, KEYS, 2)
    assert [2.0] * len(KEYS) == times(rows, KEYS)
    for node in (target, source, *cluster.primaries()[2:]):
        node.ask("CLUSTER", "SETSLOT", slot, "NODE", cluster._id(target))
    assert [2.0] * len(KEYS) == times(rows, KEYS)


def test_the_change_feed_follows_the_owners(settings: Settings, rows: FeastRowStore, cluster: ValkeyCluster) -> None:
    """After a failover it reports that changes may have been missed, and then those of the new primary."""
    feed = open_rows(settings).changes([USERS])
    try:
        assert feed.take(0.1) is None
        write(rows, KEYS, 500)
        seen: set[Key] = set()

        def take() -> bool:
            try:
                changed = feed.take(0.2)
            except StoreUnavailable:
                return False
            seen.update((changed or {}).get("user_scenario", ()))
            return seen >= set(KEYS)

        wait_until(take, what="the changes")
        replica = cluster.replica_of(cluster.primaries()[0])
        assert replica is not None
        cluster.fail_over(replica)
        seen.clear()
        offsets = iter(range(501, 100_000))

        def write_and_take() -> bool:
            try:
                write(rows, KEYS, next(offsets))
            except StoreUnavailable:
                return False
            return take()

        wait_until(write_and_take, what="the changes of the new primary")
    finally:
        feed.close()
