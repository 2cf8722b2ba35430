"""Every Kafka client of CrossRec against a Kafka that requires passwords and client certificates over TLS."""

import gc
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from kafka.admin import KafkaAdminClient, ScramMechanism, UserScramCredentialUpsertion
from kafka.errors import KafkaError
from pydantic import SecretStr

from services.consumers.dead_letters.replay import replay
from services.consumers.dead_letters.topic import list_dead_letters
from services.consumers.main import consume
from services.consumers.rewind import end_offsets, require_stopped
from services.consumers.status import read_groups
from services.doctor.check import CheckState
from services.doctor.kafka import kafka_check
from services.errors import Unavailable
from services.gateway.main import build_intake
from services.infra.kafka import KafkaServer, default_cache_dir
from services.infra.ports import choose_port
from services.kafka.connection import KafkaUnavailable, kafka_arguments
from services.kafka.kafka_publisher import KafkaPublisher
from services.kafka.publisher import OutgoingRecord
from services.kafka.topics import create_topics, topic_specs
from services.server.security.caller import EVERY_SCOPE
from services.settings.infrastructure import KafkaSettings
from services.settings.load import Settings
from services.settings.processes import ConsumerSettings
from services.store.memory import MemoryRowStore
from services.text.protocol import HashingEncoder
from tests.contract.certificates import Authority
from tests.contract.private import logs
from tests.unit.consumers.streams import ANY_AGE, CONFIG, behavior_event, item_update, scenario_update
from tests.waiting import wait_until

pytestmark = pytest.mark.integration

USER, PASSWORD, SCRAM_PASSWORD = "crossrec", "hunter2-7f3e91", "hunter3-7f3e91"
DEADLINE_S = 300.0


@dataclass(frozen=True)
class Secured:
    """The port of Kafka, and the credentials.

    Args:
        port: where it listens.
        folder: holds ca.pem, client.pem, client.key, password and scram-password.
    """

    port: int
    folder: Path

    def kafka(self, **changes: Any) -> KafkaSettings:
        given = {
            "bootstrap_servers": f"127.0.0.1:{self.port}",
            "security_protocol": "SASL_SSL",
            "sasl_mechanism": "SCRAM-SHA-512",
            "sasl_username": USER,
            "sasl_password_file": self.folder / "scram-password",
            "ca_file": self.folder / "ca.pem",
            "certificate_file": self.folder / "client.pem",
            "key_file": self.folder / "client.key",
            "topic_prefix": "secured",
            "partitions": 2,
        }
        return KafkaSettings(**{**given, **changes})

    def settings(self, **changes: Any) -> Settings:
        groups = ConsumerSettings(group_prefix="secured")
        return Settings(kafka=self.kafka(**changes), consumers=groups, gateway=ANY_AGE, features=CONFIG)


def properties(folder: Path, port: int, keystore: Path) -> str:
    """Properties that differ from the embedded Kafka's; the last of equal names counts."""
    module = "org.apache.kafka.common.security.{} required"
    plain = f'{module.format("plain.PlainLoginModule")} username="broker" password="b" user_broker="b"'
    listener = "listener.name.client"
    found = {
        "listener.security.protocol.map": "CLIENT:SASL_SSL,CONTROLLER:PLAINTEXT",
        "advertised.listeners": f"CLIENT://127.0.0.1:{port}",
        "inter.broker.listener.name": "CLIENT",
        "sasl.mechanism.inter.broker.protocol": "PLAIN",
        "sasl.enabled.mechanisms": "PLAIN,SCRAM-SHA-512",
        f"{listener}.plain.sasl.jaas.config": f'{plain} user_{USER}="{PASSWORD}";',
        f"{listener}.scram-sha-512.sasl.jaas.config": f"{module.format('scram.ScramLoginModule')};",
        f"{listener}.ssl.client.auth": "required",  # without the prefix it is not for SASL
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": str(keystore),
        "ssl.truststore.type": "PEM",
        "ssl.truststore.location": str(folder / "ca.pem"),
    }
    return "".join(f"{name}={value}\n" for name, value in found.items())


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    folder, authority = tmp_path_factory.mktemp("kafka"), Authority()
    (folder / "ca.pem").write_bytes(authority.pem)
    (folder / "password").write_text(PASSWORD + "\n")
    (folder / "scram-password").write_text(SCRAM_PASSWORD + "\n")
    authority.sign("client").write(folder, "client")
    broker, keystore = authority.sign("broker"), folder / "broker.pem"
    keystore.write_bytes(broker.key + broker.certificate)
    server = KafkaServer(folder, 384, default_cache_dir())
    server.install()
    port = choose_port(0, None, ())
    command = server.prepare({"client": port, "controller": choose_port(0, None, (port,))})
    file = Path(command[-1])
    own = file.read_text().replace(f"PLAINTEXT://127.0.0.1:{port},", f"CLIENT://127.0.0.1:{port},")
    file.write_text(own + properties(folder, port, keystore))
    made = Secured(port, folder)
    with server.log.open("w") as log, subprocess.Popen(command, stdout=log, stderr=log) as process:
        plain = made.kafka(sasl_mechanism="PLAIN", sasl_password_file=folder / "password")
        wait_until(lambda: process.poll() is not None or answers(plain), what=f"Kafka, whose log is {server.log}")
        with KafkaAdminClient(**kafka_arguments(plain)) as admin:
            mechanism = ScramMechanism.SCRAM_SHA_512
            admin.alter_user_scram_credentials([UserScramCredentialUpsertion(USER, mechanism, SCRAM_PASSWORD)])
        wait_until(lambda: answers(made.kafka()))
        yield made
        process.terminate()
    gc.collect()  # sockets that kafka-python left, while their warnings are still expected


def answers(kafka: KafkaSettings) -> bool:
    try:
        with KafkaAdminClient(**kafka_arguments(kafka), bootstrap_timeout_ms=2000) as admin:
            return admin.list_topics() is not None
    except KafkaError:
        return False


def test_events_are_published_and_folded_over_tls_with_a_password(secured: Secured) -> None:
    """Topics, gateway, consumers with their transactions, and every command that reads Kafka."""
    settings, store, stop = secured.settings(), MemoryRowStore(), threading.Event()
    create_topics(settings.kafka, topic_specs("secured", 2))
    publisher = KafkaPublisher(settings.kafka, 30.0)
    entries = [scenario_update(0), item_update(0), *(behavior_event(number) for number in range(20))]
    intake = build_intake(settings, publisher)
    submission = intake.submit(intake.validate(entries, EVERY_SCOPE), 30.0)
    assert [] == submission.failures(DEADLINE_S)
    publisher.check(30.0)
    (poison,) = publisher.send([OutgoingRecord("secured.behavior", b"k", b"k", b"\xff", [])], 30.0)
    assert poison.result(DEADLINE_S) is None
    publisher.close(10.0)
    kinds = ("scenario", "item", "behavior", "activity")
    workers = [threading.Thread(target=consume, args=(kind, settings, store, stop, HashingEncoder)) for kind in kinds]
    for worker in workers:
        worker.start()
    try:
        wait_until(lambda: is_read(settings))
    finally:
        stop.set()
        for worker in workers:
            worker.join()
    require_stopped(settings, kinds)
    assert 0 < sum(end_offsets(settings, "secured.activity"))  # written in transactions
    (listed,) = list_dead_letters(settings, lambda _: True, 0.0, 10)
    assert ["secured.behavior"] == [sent.topic for sent in replay(settings, [listed.dead_letter.number])]
    assert CheckState.OK == kafka_check(settings.kafka).state


def is_read(settings: Settings) -> bool:
    """Whether all groups have committed all there is, that of activity something."""
    try:
        groups = {group.kind: group for group in read_groups(settings, 0.0)}
    except KafkaUnavailable:  # a broker that was just started finds its groups
        return False
    committed = sum(partition.committed or 0 for partition in groups["activity"].partitions)
    return committed > 0 and all(group.lag_records == 0 for group in groups.values())


def test_plain_and_a_password_from_the_environment_work_too(secured: Secured) -> None:
    """PLAIN, with the password as a value."""
    changes = {"sasl_mechanism": "PLAIN", "sasl_password": SecretStr(PASSWORD), "sasl_password_file": None}
    assert answers(secured.kafka(**changes))


@pytest.mark.parametrize(
    "changes",
    [
        {"sasl_password_file": "wrong"},
        {"certificate_file": None, "key_file": None},
        {"ca_file": "other"},
        {
            "security_protocol": "PLAINTEXT",
            "sasl_username": "",
            "sasl_password_file": None,
            "ca_file": None,
            "certificate_file": None,
            "key_file": None,
        },
    ],
    ids=["password", "certificate", "authority", "nothing"],
)
def test_a_client_without_valid_credentials_is_rejected_and_no_secret_is_logged(secured: Secured, changes: Any) -> None:
    (secured.folder / "wrong").write_text("wrong-7f3e91")
    (secured.folder / "other").write_bytes(Authority().pem)
    names = ("wrong", "other")
    kafka = secured.kafka(**{k: secured.folder / v if v in names else v for k, v in changes.items()})
    with logs() as lines:
        publisher = KafkaPublisher(kafka, 2.0)
        (sent,) = publisher.send([OutgoingRecord("secured.behavior", b"k", b"k", b"v", [])], 2.0)
        publisher.close(1.0)
        found = kafka_check(kafka)
    assert (True, CheckState.WRONG) == (isinstance(sent.exception(1.0), (KafkaError, Unavailable)), found.state)
    for secret in (PASSWORD, SCRAM_PASSWORD, "wrong-7f3e91"):
        assert secret not in f"{sent.exception()} {found} {lines.getvalue()}"
