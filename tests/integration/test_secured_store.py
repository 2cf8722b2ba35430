"""All readers and writers of rows against a Valkey with a password, behind TLS with client certificates.

The embedded valkey-server has no TLS of its own, so a proxy of the test terminates it, as stunnel often does.
"""

import hashlib
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import redis

from services.doctor.check import CheckState
from services.doctor.store import store_checks
from services.features.schema import build_schema
from services.infra.ports import choose_port
from services.infra.valkey import server_binary
from services.settings.infrastructure import StoreSettings
from services.settings.load import Settings
from services.store.connect import open_rows, open_rows_for_batches
from services.store.feast_api import FeatureStore
from services.store.feast_registry import REPOSITORY, apply_definitions, feast_environment
from services.store.protocol import StoreUnavailable, read_rows
from services.store.redis.connection import redis_arguments
from tests.chaos.proxy import Proxy
from tests.contract.certificates import Authority
from tests.contract.private import logs
from tests.contract.rank_server import SCHEMA, History
from tests.waiting import wait_until

pytestmark = pytest.mark.integration

USER, PASSWORD = "crossrec", "hunter2, 7=f3\"e'91"
"""With characters that a connection string cannot hold."""


@dataclass(frozen=True)
class Secured:
    """The ports of the store, and the credentials.

    Args:
        plain: port of the valkey-server, without TLS.
        encrypted: port of the TLS proxy in front of it.
        folder: holds ca.pem, client.pem, client.key and password.
    """

    plain: int
    encrypted: int
    folder: Path

    def settings(self, **changes: object) -> Settings:
        given: dict[str, object] = {
            "url": f"127.0.0.1:{self.encrypted}",
            "username": USER,
            "password_file": self.folder / "password",
            "ca_file": self.folder / "ca.pem",
            "certificate_file": self.folder / "client.pem",
            "key_file": self.folder / "client.key",
            "project": "secured",
            "registry": self.folder / "registry.db",
        }
        return Settings(store=StoreSettings(**{**given, **changes}), features=SCHEMA.config)


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    folder, authority = tmp_path_factory.mktemp("secured"), Authority()
    (folder / "ca.pem").write_bytes(authority.pem)
    (folder / "password").write_text(PASSWORD + "\n")
    authority.sign("client").write(folder, "client")
    certificate, key = authority.sign("store").write(folder, "store")
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(folder / "ca.pem"))
    tls.load_cert_chain(certificate, key)
    tls.verify_mode = ssl.CERT_REQUIRED
    port = choose_port(0, None, ())
    with valkey(port, folder), Proxy(port, tls=tls) as proxy:
        yield Secured(port, proxy.port, folder)


@contextmanager
def valkey(port: int, folder: Path) -> Iterator[None]:
    """A valkey-server whose default user is disabled."""
    digest = hashlib.sha256(PASSWORD.encode()).hexdigest()
    (folder / "users.acl").write_text(f"user default off\nuser {USER} on #{digest} ~* &* +@all\n")
    options = {"bind": "127.0.0.1", "port": port, "dir": folder, "save": "", "aclfile": folder / "users.acl"}
    command = [str(server_binary()), *(part for name, value in options.items() for part in (f"--{name}", str(value)))]
    with (folder / "valkey.log").open("w") as log, subprocess.Popen(command, stdout=log, stderr=log) as process:
        wait_until(lambda: answers(port))
        yield
        process.terminate()


def answers(port: int) -> bool:
    try:
        with redis.Redis(port=port, username=USER, password=PASSWORD) as client:
            return bool(client.ping())
    except redis.ConnectionError:
        return False


def test_rows_are_written_and_read_over_tls_with_a_password(secured: Secured) -> None:
    """By writers and readers; readers are notified of changes."""
    settings = secured.settings()
    store, view = open_rows_for_batches(settings), SCHEMA["scenario"]
    History(store).scenarios("shelf", "tv")
    reader = open_rows(settings)
    changes = reader.changes([view])
    assert changes.take(0.1) is None  # from here on
    History(store, epoch=2).scenarios("tv")
    changed: dict[str, set[tuple[str, ...]]] = {}

    def take_changes() -> bool:
        changed.update({name: keys for name, keys in (changes.take(0.5) or {}).items() if keys})
        return "scenario" in changed

    wait_until(take_changes)
    assert {("tv",)} == changed["scenario"]
    assert [True, True, False] == [row is not None for row in read_rows(reader, view, [("shelf",), ("tv",), ("none",)])]
    changes.close()


def test_feast_reads_the_rows_by_its_own_settings_file(secured: Secured, monkeypatch: pytest.MonkeyPatch) -> None:
    """Password and certificates come from the settings in force."""
    settings = secured.settings()
    History(open_rows_for_batches(settings), epoch=3).scenarios("mailer")
    apply_definitions(settings)
    for name, value in feast_environment(settings).items():
        monkeypatch.setenv(name, value)
    store = FeatureStore(repo_path=str(REPOSITORY))
    feature = next(feature.name for feature in SCHEMA["scenario"].features)
    found = store.get_online_features([f"scenario:{feature}"], [{"scenario_id": "mailer"}, {"scenario_id": "none"}])
    there, absent = found.to_dict()[feature]
    assert (True, None) == (there is not None, absent)


def test_the_doctor_connects_with_the_same_settings(secured: Secured) -> None:
    assert CheckState.OK == next(iter(store_checks(secured.settings().store))).state
    (check,) = store_checks(secured.settings(password_file=None).store)
    assert CheckState.WRONG == check.state


def test_without_tls_the_password_alone_suffices(secured: Secured) -> None:
    files = {"ca_file": None, "certificate_file": None, "key_file": None}
    store = secured.settings(url=f"127.0.0.1:{secured.plain}", **files).store
    with redis.Redis(**redis_arguments(store)) as client:
        assert client.ping()


@pytest.mark.parametrize(
    "changes",
    [
        {"password_file": "wrong"},
        {"username": "default"},
        {"certificate_file": None, "key_file": None},
        {"ca_file": "other"},
    ],
)
def test_a_client_without_valid_credentials_is_rejected_and_no_secret_is_logged(
    secured: Secured, changes: dict[str, object]
) -> None:
    """The client reports the store as unavailable; neither password is in the error or the log."""
    (secured.folder / "wrong").write_text("wrong-7f3e91")
    (secured.folder / "other").write_bytes(Authority().pem)
    paths = {k: secured.folder / v if isinstance(v, str) and k != "username" else v for k, v in changes.items()}
    History(open_rows_for_batches(secured.settings()), epoch=4).scenarios("tv")
    with logs() as lines:
        reader = open_rows(secured.settings(**paths))
        with pytest.raises(StoreUnavailable) as caught:
            read_rows(reader, build_schema(SCHEMA.config)["scenario"], [("tv",)])
    for secret in (PASSWORD, "wrong-7f3e91"):
        assert secret not in f"{caught.value} {caught.value.__cause__} {lines.getvalue()}"
