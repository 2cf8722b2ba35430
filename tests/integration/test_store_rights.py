"""The store's user has exactly the rights of the production guide: everything works, and each of them is needed."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from services.doctor.check import CheckState
from services.doctor.store import store_checks
from services.features.rows import Row, pack_rows
from services.infra.ports import choose_port
from services.infra.valkey import server_binary
from services.settings.infrastructure import StoreSettings
from services.settings.load import Settings
from services.store.connect import open_rows_for_batches
from services.store.feast_api import FeatureStore
from services.store.feast_registry import REPOSITORY, apply_definitions, feast_environment
from services.store.protocol import StoreDenied, StoreUnavailable, read_rows
from tests.integration.store_user import USER, rule_of
from tests.unit.store.row_store_suite import DELETABLE, KEY, SCHEMA, block
from tests.waiting import wait_until

pytestmark = pytest.mark.integration

PASSWORD = "hunter2"  # noqa: S105 - of this test
PROJECT = "rights"

RULE = rule_of(PROJECT, PASSWORD)
UNPROVED = {"+auth", "+select", "+ping", "+asking", "+cluster|slots", "+client|setinfo", "+hello", "+info", "+command"}
"""Rights without which the client on a single server gets by, or connects not at all; and that of the doctor alone."""


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    port = choose_port(0, None, ())
    options = {"bind": "127.0.0.1", "port": port, "save": "", "dir": tmp_path_factory.mktemp("valkey")}
    command = [str(server_binary()), *(part for name, value in options.items() for part in (f"--{name}", str(value)))]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        wait_until(lambda: _answers(port))
        yield port
        process.terminate()


def _answers(port: int) -> bool:
    try:
        with redis.Redis(port=port) as client:
            return bool(client.ping())
    except redis.ConnectionError:
        return False


def allow(port: int, rule: list[str]) -> None:
    """Give the user these rights, on new connections."""
    with redis.Redis(port=port) as client:
        client.execute_command("ACL", "DELUSER", USER)
        client.execute_command("ACL", "SETUSER", USER, "reset", *rule)


@pytest.fixture
def settings(port: int, tmp_path: Path) -> Settings:
    allow(port, RULE)
    store = StoreSettings(
        url=f"127.0.0.1:{port}",
        username=USER,
        password=PASSWORD,
        project=PROJECT,
        registry=tmp_path / "registry.db",
        offline_dir=tmp_path,
        user_retention_days=1,
    )
    return Settings(store=store)


def test_everything_works_with_the_rights_of_the_guide(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """For rows, whole views, changes, Feast and the doctor."""
    rows = open_rows_for_batches(settings)
    rows.check_rights()
    feed = rows.changes([DELETABLE])
    assert feed.take(0.1) is None
    rows.write([KEY], block(((2, 1, 5), 5.0), view=DELETABLE))
    wait_until(lambda: KEY in (feed.take(0.2) or {}).get(DELETABLE.name, ()))
    assert [KEY] == list(rows.ids(DELETABLE))
    apply_definitions(settings)
    for name, value in feast_environment(settings).items():
        monkeypatch.setenv(name, value)
    entity = dict(zip(DELETABLE.entities, KEY, strict=True))
    found = FeatureStore(repo_path=str(REPOSITORY)).get_online_features([f"{DELETABLE.name}:time_s"], [entity])
    assert [5.0] == found.to_dict()["time_s"]
    rows.expire(DELETABLE)
    rows.delete(DELETABLE, [KEY], (2, 1, 6))
    scenario = SCHEMA["scenario_index"]
    stored: list[Row | None] = [{**row, "schema": row["schema"] + 1} for row in read_default(scenario)]
    rows.write([("all",)], pack_rows(scenario, stored))
    assert 1 == rows.drop(scenario)
    feed.close()
    states = {check.name: check.state for check in store_checks(settings.store)}
    assert CheckState.OK == states["store rights"]
    assert CheckState.WRONG not in states.values()


def read_default(view: object) -> list[Row]:
    from services.features.rows import unpack_rows

    return unpack_rows(pack_rows(view, [None]))  # type: ignore[arg-type]


@pytest.mark.parametrize("right", [part for part in RULE if part[0] in "+&~" and part not in UNPROVED])
def test_a_missing_right_is_named_at_the_start_and_by_the_doctor(right: str, settings: Settings, port: int) -> None:
    """With the user; and it is a passing error when rows are read and written."""
    allow(port, [part for part in RULE if part != right])
    rows = open_rows_for_batches(settings)
    command = right[1:].replace("script|load", "script").split("|")[-1] if right[0] == "+" else "permission"
    with pytest.raises(StoreDenied) as caught:
        rows.check_rights()
    assert USER in str(caught.value)
    assert command in str(caught.value).lower()
    assert "\n" not in str(caught.value)
    assert CheckState.WRONG in {check.state for check in store_checks(settings.store)}


def test_a_right_that_is_taken_away_is_a_passing_error(settings: Settings, port: int) -> None:
    """The consumer retries, and folds on once the right is given back."""
    rows = open_rows_for_batches(settings)
    rows.write([KEY], block(((3, 1, 1), 1.0), view=DELETABLE))
    with redis.Redis(port=port) as client:
        client.execute_command("ACL", "SETUSER", USER, "-evalsha")
        with pytest.raises(StoreUnavailable, match="evalsha"):
            rows.write([KEY], block(((3, 1, 2), 2.0), view=DELETABLE))
        client.execute_command("ACL", "SETUSER", USER, "+evalsha")
    rows.write([KEY], block(((3, 1, 2), 2.0), view=DELETABLE))
    (row,) = read_rows(rows, DELETABLE, [KEY])
    assert row is not None
    assert 2.0 == row["time_s"]
