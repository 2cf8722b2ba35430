"""Rows that a failover of a real Valkey cluster takes back are noticed by the marks, and prevented by waiting."""

import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from services.kafka.topics import TopicIdentity
from services.settings.load import Settings
from services.store.connect import open_rows_for_batches
from services.store.folded_offsets import FoldedOffsets
from services.store.protocol import RowsLost, StoreUnavailable
from services.store.redis.feast_rows import FeastRowStore
from tests.chaos.valkey_cluster import ValkeyCluster, valkey_cluster
from tests.integration.test_store_cluster import settings_of
from tests.unit.store.row_store_suite import SCHEMA
from tests.waiting import wait_until

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ValkeyCluster]:
    with valkey_cluster(tmp_path_factory.mktemp("cluster")) as cluster:
        yield cluster


@pytest.fixture
def settings(cluster: ValkeyCluster, tmp_path: Path) -> Settings:
    return settings_of(cluster, tmp_path)


@pytest.fixture
def rows(settings: Settings) -> FeastRowStore:
    return open_rows_for_batches(settings)


def test_a_failover_that_takes_rows_back_is_noticed(rows: FeastRowStore, cluster: ValkeyCluster) -> None:
    """Each node has a mark of every partition; where nothing is lost, nothing is reported."""
    topic = TopicIdentity("crossrec.behavior", uuid.uuid4().hex, 4)
    marks = FoldedOffsets(rows, SCHEMA, topic.name, 1, "rewind")
    marks.admit(topic, dict.fromkeys(range(4), 0))
    marks.record(dict.fromkeys(range(4), 10))
    marks.confirm(dict.fromkeys(range(4), 10))
    old = cluster.primaries()[1]
    primary = cluster.replica_of(old)
    assert primary is not None
    cluster.fail_over(primary)
    cluster.wait_until_ok()
    wait_until(lambda: _is_answered(marks.check), what="the new primary to be found")
    # The replica cannot log in any more: the primary has no password.
    old.ask("CONFIG", "SET", "masterauth", "none")
    primary.ask("CLIENT", "KILL", "TYPE", "replica")
    before = marks.node_changes()
    marks.record(dict.fromkeys(range(4), 20))
    marks.confirm(dict.fromkeys(range(4), 20))
    primary.kill()
    old.ask("CONFIG", "SET", "masterauth", "")
    wait_until(lambda: old in cluster.primaries(without=primary), what="the failover")
    wait_until(lambda: _has_lost_rows(marks), what="the loss to be noticed")
    assert marks.node_changes() > before
    with pytest.raises(RowsLost, match="up to offset 10; those up to 20 were committed as folded: rewind"):
        FoldedOffsets(rows, SCHEMA, topic.name, 1, "rewind").admit(topic, dict.fromkeys(range(4), 20))
    primary.start()
    cluster.wait_until_ok()


def _is_answered(call: Callable[[], None]) -> bool:
    try:
        call()
    except RowsLost:
        raise
    except StoreUnavailable:
        return False
    return True


def _has_lost_rows(marks: FoldedOffsets) -> bool:
    try:
        marks.check()
    except RowsLost:
        return True
    except StoreUnavailable:
        return False
    return False


def test_replicas_are_waited_for(settings: Settings, rows: FeastRowStore, cluster: ValkeyCluster) -> None:
    """Of every node; with fewer than the settings ask for it is a passing error."""
    del rows
    waiting = settings.store.model_copy(update={"wait_replicas": 1, "wait_ms": 200})
    store = open_rows_for_batches(settings.model_copy(update={"store": waiting}))
    topic = TopicIdentity("crossrec.items", uuid.uuid4().hex, 1)
    marks = FoldedOffsets(store, SCHEMA, topic.name, 1, "rewind")
    marks.admit(topic, {0: 0})
    wait_until(lambda: _is_answered(lambda: marks.record({0: 10})), what="the replicas")
    replica = cluster.replica_of(cluster.primaries()[2])
    assert replica is not None
    replica.kill()
    with pytest.raises(StoreUnavailable, match="0 of 1 replicas have the rows after 200 ms"):
        marks.record({0: 20})
    replica.start()
    cluster.wait_until_ok()
    wait_until(lambda: _is_answered(lambda: marks.record({0: 20})), what="the replicas")
