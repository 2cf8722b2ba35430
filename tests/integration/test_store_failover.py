"""A primary and a replica behind one name: the name moves, and the old primary lives on as a read-only replica."""

import subprocess
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import redis

from services.doctor.check import CheckState
from services.doctor.store import store_checks
from services.infra.ports import choose_port
from services.infra.valkey import server_binary
from services.settings.infrastructure import StoreSettings
from services.settings.load import Settings
from services.store.connect import open_rows, open_rows_for_batches
from services.store.protocol import StoreUnavailable, read_rows
from services.store.redis.feast_rows import FeastRowStore
from tests.chaos.proxy import Proxy
from tests.unit.store.row_store_suite import DELETABLE, KEY, SCHEMA, block
from tests.waiting import wait_until

pytestmark = pytest.mark.integration


@dataclass
class Pair:
    """Two servers, the first one the primary, behind a proxy that stands for the name."""

    ports: tuple[int, int]
    proxy: Proxy
    settings: Settings

    def ask(self, number: int, *command: object) -> object:
        with redis.Redis(port=self.ports[number], socket_timeout=10) as client:
            return client.execute_command(*command)

    def fail_over(self) -> None:
        """The replica becomes the primary, the old primary its replica; open connections to it stay."""
        self.ask(1, "REPLICAOF", "NO", "ONE")
        self.ask(0, "REPLICAOF", "127.0.0.1", self.ports[1])
        self.proxy.redirect(self.ports[1])


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    first = choose_port(0, None, ())
    second = choose_port(0, None, (first,))
    children = [_start(port, tmp_path / str(port)) for port in (first, second)]
    try:
        with Proxy(first) as proxy:
            store = StoreSettings(
                url=f"127.0.0.1:{proxy.port}",
                project=f"pair_{uuid.uuid4().hex[:8]}",
                registry=tmp_path / "registry.db",
                offline_dir=tmp_path,
            )
            pair = Pair((first, second), proxy, Settings(store=store))
            for number in (0, 1):
                wait_until(lambda number=number: _answers(pair, number))  # type: ignore[misc]
            pair.ask(1, "REPLICAOF", "127.0.0.1", first)
            wait_until(lambda: "'master_link_status': 'up'" in str(pair.ask(1, "INFO", "REPLICATION")))
            yield pair
    finally:
        for child in children:
            child.kill()
            child.wait()


def _start(port: int, folder: Path) -> "subprocess.Popen[bytes]":
    folder.mkdir()
    options = {"bind": "127.0.0.1", "port": port, "dir": folder, "save": "", "repl-diskless-sync-delay": 0}
    command = [str(server_binary()), *(part for name, value in options.items() for part in (f"--{name}", str(value)))]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL)


def _answers(pair: Pair, number: int) -> bool:
    try:
        return bool(pair.ask(number, "PING"))
    except redis.ConnectionError:
        return False


def test_writers_reach_the_new_primary(pair: Pair) -> None:
    """The first write after the failover is refused as a passing error; the next one resolves the name anew."""
    rows = open_rows_for_batches(pair.settings)
    rows.write([KEY], block(((2, 0, 1), 1.0), view=DELETABLE))
    pair.fail_over()
    with pytest.raises(StoreUnavailable, match="read only replica"):
        rows.write([KEY], block(((2, 0, 2), 2.0), view=DELETABLE))
    rows.write([KEY], block(((2, 0, 3), 3.0), view=DELETABLE))
    wait_until(lambda: 3.0 == _time_at(pair, 1))


@pytest.mark.parametrize("call", ["write", "delete", "drop", "expire"])
def test_every_kind_of_write_drops_the_connections(call: str, pair: Pair) -> None:
    """Deletions, removals and expiries as well."""
    kept = pair.settings.store.model_copy(update={"user_retention_days": 1})
    rows = open_rows_for_batches(pair.settings.model_copy(update={"store": kept}))
    rows.write([KEY], block(((2, 0, 1), 1.0), view=DELETABLE))

    def run() -> None:
        match call:
            case "write":
                rows.write([KEY], block(((2, 0, 2), 2.0), view=DELETABLE))
            case "delete":
                rows.delete(DELETABLE, [KEY], (2, 0, 2))
            case "drop":
                rows.drop(DELETABLE)
            case _:
                rows.expire(DELETABLE)

    pair.fail_over()
    with pytest.raises(StoreUnavailable):
        run()
    run()


def test_readers_notice_a_demoted_server(pair: Pair) -> None:
    """A replica answers reads: the feed of changes sees its role, and its connections are dropped."""
    rows = open_rows(pair.settings)
    feed = rows.changes([DELETABLE])
    assert feed.take(0.1) is None
    pair.fail_over()
    pair.ask(0, "REPLICAOF", "127.0.0.1", 1)  # cut off: it serves old rows
    open_rows_for_batches(pair.settings).write([KEY], block(((2, 0, 1), 7.0), view=DELETABLE))

    def has_failed() -> bool:
        try:
            feed.take(0.2)
        except StoreUnavailable as error:
            return "was master and is replica now" in str(error) or "was master and is slave now" in str(error)
        return False

    wait_until(has_failed, what="the feed to see the role")
    assert 7.0 == _time(rows)
    feed.close()


def test_a_loading_server_and_one_without_its_primary_are_unavailable(pair: Pair) -> None:
    """MASTERDOWN is a passing error; the connection is dropped."""
    pair.ask(1, "CONFIG", "SET", "replica-serve-stale-data", "no")
    pair.proxy.redirect(pair.ports[1])
    rows = open_rows(pair.settings)
    assert [None] == read_rows(rows, DELETABLE, [KEY])
    pair.ask(1, "REPLICAOF", "127.0.0.1", 1)
    with pytest.raises(StoreUnavailable, match="MASTER is down"):
        read_rows(rows, DELETABLE, [KEY])
    pair.proxy.redirect(pair.ports[0])
    assert [None] == read_rows(rows, DELETABLE, [KEY])


def test_the_doctor_recognises_a_replica(pair: Pair) -> None:
    assert CheckState.WRONG not in {check.state for check in store_checks(pair.settings.store)}
    pair.proxy.redirect(pair.ports[1])
    assert CheckState.WRONG in {check.state for check in store_checks(pair.settings.store)}


def _time(rows: FeastRowStore) -> float:
    (row,) = read_rows(rows, DELETABLE, [KEY])
    return -1.0 if row is None else float(row["time_s"])


def _time_at(pair: Pair, number: int) -> float:
    direct = pair.settings.store.model_copy(update={"url": f"127.0.0.1:{pair.ports[number]}"})
    return _time(open_rows(Settings(store=direct, features=SCHEMA.config)))
