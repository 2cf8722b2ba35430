"""Addresses, certificates and passwords of the settings, as arguments of the Kafka and Valkey clients."""

import ast
from pathlib import Path

import pytest
from pydantic import SecretStr

from services.errors import ConfigurationError
from services.kafka.connection import kafka_arguments
from services.settings.infrastructure import KafkaSettings, StoreSettings
from services.store.redis.connection import redis_arguments, redis_options

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A directory with files named like certificates and a password."""
    for name in ("ca.pem", "cert.pem", "key.pem"):
        (tmp_path / name).write_text("a PEM file")
    (tmp_path / "password").write_text("p,w=1\n")
    return tmp_path


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("store:6380", {"host": "store", "port": 6380, "ssl": False, "db": 0}),
        ("a:1,b:2,password=p=q,ssl=true", {"host": "a", "port": 1, "ssl": True, "db": 0, "password": "p=q"}),
        ("store:1,db=3,username=u", {"host": "store", "port": 1, "ssl": False, "db": 3, "username": "u"}),
    ],
)
def test_connection_strings_are_parsed_as_feast_parses_them(url: str, expected: dict[str, object]) -> None:
    """Nodes first, then options."""
    assert expected == redis_arguments(StoreSettings(url=url))


def test_a_password_is_removed_from_the_url() -> None:
    """The URL is shown and logged."""
    store = StoreSettings(url="a:1,password=hunter2,ssl=true,username=u")
    assert ("a:1,ssl=true", "u", "hunter2") == (store.url, store.username, store.password.get_secret_value())
    assert "hunter2" not in repr(store)


def test_the_store_is_reached_with_password_and_certificates(files: Path) -> None:
    """A password may hold characters that a connection string cannot."""
    store = StoreSettings(
        username="u",
        password_file=files / "password",
        ca_file=files / "ca.pem",
        certificate_file=files / "cert.pem",
        key_file=files / "key.pem",
    )
    expected = {
        "username": "u",
        "password": "p,w=1",
        "ssl": True,
        "ssl_ca_certs": str(files / "ca.pem"),
        "ssl_certfile": str(files / "cert.pem"),
        "ssl_keyfile": str(files / "key.pem"),
    }
    assert expected == redis_options(store)


def test_unsecured_brokers_need_only_their_addresses() -> None:
    expected = {"bootstrap_servers": ["a:1", "b:2"]}
    assert expected == kafka_arguments("a:1,b:2") == kafka_arguments(KafkaSettings(bootstrap_servers="a:1,b:2"))


def test_clients_log_in_to_brokers_over_tls(files: Path) -> None:
    kafka = KafkaSettings(
        bootstrap_servers="a:1",
        security_protocol="SASL_SSL",
        sasl_username="crossrec",
        sasl_password_file=files / "password",
        ca_file=files / "ca.pem",
    )
    expected = {
        "bootstrap_servers": ["a:1"],
        "security_protocol": "SASL_SSL",
        "ssl_cafile": str(files / "ca.pem"),
        "sasl_mechanism": "SCRAM-SHA-512",
        "sasl_plain_username": "crossrec",
        "sasl_plain_password": "p,w=1",
    }
    assert expected == kafka_arguments(kafka)


def test_a_client_certificate_goes_with_its_key(files: Path) -> None:
    kafka = KafkaSettings(security_protocol="SSL", certificate_file=files / "cert.pem", key_file=files / "key.pem")
    found = kafka_arguments(kafka)
    assert ("SSL", str(files / "cert.pem")) == (found["security_protocol"], found["ssl_certfile"])
    with pytest.raises(ValueError, match="certificate_file and key_file go together"):
        StoreSettings(certificate_file=files / "cert.pem")


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"security_protocol": "SASL_SSL"}, "sasl_username and a password go together"),
        ({"sasl_username": "u", "sasl_password": "hunter2"}, "sasl_username and a password go together"),
        ({"ca_file": "ca.pem"}, "need security_protocol SSL"),
        ({"security_protocol": "hunter2"}, "Input should be"),
    ],
)
def test_inconsistent_settings_are_rejected_without_being_shown(given: dict[str, str], reason: str) -> None:
    with pytest.raises(ValueError, match=reason) as caught:
        KafkaSettings.model_validate(given)
    assert "hunter2" not in str(caught.value)


def test_files_that_are_missing_or_empty_are_named_by_their_setting(files: Path) -> None:
    (files / "empty").write_text("\n")
    absent = files / "absent"
    with pytest.raises(ConfigurationError, match=f"store.password_file: cannot read {absent}"):
        redis_options(StoreSettings(password_file=absent))
    with pytest.raises(ConfigurationError, match=r"store\.ca_file: cannot read"):
        redis_options(StoreSettings(ca_file=absent))
    with pytest.raises(ConfigurationError, match="is empty"):
        redis_options(StoreSettings(password_file=files / "empty"))


def test_a_secret_given_twice_is_rejected(files: Path) -> None:
    with pytest.raises(ValueError, match="give one of them"):
        StoreSettings(password=SecretStr("hunter2"), password_file=files / "password")


def test_every_client_is_made_with_these_arguments() -> None:
    """A Kafka client without them could only connect to unprotected brokers."""
    files = [*(ROOT / "services").rglob("*.py"), *(ROOT / "export").rglob("*.py")]
    strays = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in files
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and any(k.arg == "bootstrap_servers" for k in node.keywords)
    ]
    assert [] == strays
