"""With a key set, Kafka and Valkey store no user id; requests by the id are answered as before."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest
import redis
from typer.testing import CliRunner

from crossrec.events.v1.events_pb2 import BehaviorEvent, Entry, ItemUpdate, PublishRequest, ScenarioUpdate, UserErasure
from crossrec.events.v1.events_pb2_grpc import EventServiceStub
from crossrec.ranking.v1.ranking_pb2 import DEGRADATION_REASON_UNKNOWN_USER, RankRequest, RankResponse
from crossrec.ranking.v1.ranking_pb2_grpc import RankingServiceStub
from services.features.config import FeatureConfig
from services.features.schema import build_schema
from services.gateway.main import build_intake, build_rates, build_service
from services.gateway.main import build_server as build_gateway
from services.infra.commands import Endpoints
from services.kafka.kafka_publisher import KafkaPublisher
from services.kafka.topics import topic_specs
from services.main import app
from services.ranking.cache.row_sources import open_row_sources
from services.ranking.model.ab_split import FixedModel
from services.ranking.pipeline import Ranker
from services.ranking.service import RankingService
from services.ranking.service import build_server as build_ranking
from services.registry.model import FakeModel
from services.server.grpc_server import BoundServer
from services.server.security.pseudonyms import open_pseudonymizer
from services.settings.load import Settings
from services.settings.security import PrivacySettings
from services.store.protocol import read_rows
from services.text.protocol import HashingEncoder
from tests.integration.consumer_harness import Stage, folded, running
from tests.integration.test_gateway_kafka import stored
from tests.waiting import wait_until

pytestmark = pytest.mark.integration

USER, OTHER, BAD = "ann-0b7d@example.org", "bob-11c2@example.org", "cleo-94aa@example.org"
SCHEMA = build_schema(FeatureConfig())
ENTRIES = [
    Entry(scenario_update=ScenarioUpdate(scenario_id="tv", name="TV")),
    Entry(item_update=ItemUpdate(item_id="tea", title="Green tea")),
    *(
        Entry(behavior_event=BehaviorEvent(user_id=user, scenario_id="tv", item_id="tea", type="EVENT_TYPE_CLICK"))
        for user in (USER, USER, OTHER)
    ),
    Entry(behavior_event=BehaviorEvent(user_id=USER, scenario_id="tv", type="EVENT_TYPE_QUERY", text="black tea")),
    Entry(user_erasure=UserErasure(user_id=OTHER)),
]


@pytest.fixture
def keys(tmp_path: Path) -> list[Path]:
    """Two key files, as an operator creates them."""
    paths = [tmp_path / "first.key", tmp_path / "second.key"]
    for number, path in enumerate(paths):
        path.write_text(f"{number}" * 43 + "=\n")
    return paths


def named(stage: Stage, present: Path, *previous: Path) -> Settings:
    """The stage's settings with pseudonym keys."""
    privacy = PrivacySettings(pseudonym_key_file=present, previous_pseudonym_key_files=previous)
    return stage.settings.model_copy(update={"privacy": privacy})


@contextmanager
def serving(built: BoundServer) -> Iterator[grpc.Channel]:
    built.server.start()
    try:
        with grpc.insecure_channel(built.address) as channel:
            yield channel
    finally:
        built.server.stop(0).wait()


def publish(settings: Settings, entries: list[Entry]) -> None:
    """Publish through a gateway with the settings."""
    publisher = KafkaPublisher(settings.kafka.bootstrap_servers, 20.0)
    service = build_service(settings, build_intake(settings, publisher), build_rates(settings))
    try:
        with serving(build_gateway(service, "127.0.0.1:0")) as channel:
            answer = EventServiceStub(channel).Publish(PublishRequest(entries=entries), timeout=300)
    finally:
        publisher.close(10.0)
    assert {"accepted"} == {result.WhichOneof("result") for result in answer.results}


def fold(stage: Stage, *kinds: str) -> None:
    for kind in kinds:
        with running(stage, kind):
            wait_until(lambda kind=kind: folded(stage, kind))


def ranked(settings: Settings, stage: Stage, user: str) -> RankResponse:
    """The answer of a ranking server with the settings."""
    rows = open_row_sources(stage.store, SCHEMA, HashingEncoder().fingerprint, 100, 0.0, 0.0, max_scenarios=64)
    pseudonymize = open_pseudonymizer(settings.privacy).pseudonymize
    ranker = Ranker(SCHEMA, rows, FixedModel(FakeModel()), pseudonymize=pseudonymize)
    with serving(build_ranking(RankingService(ranker, 1, 8), "127.0.0.1:0")) as channel:
        request = RankRequest(user_id=user, scenario_id="tv", item_ids=["tea"])
        return RankingServiceStub(channel).Rank(request, timeout=300)


def in_kafka(infra: Endpoints, settings: Settings) -> bytes:
    """Everything that all topics hold: keys, values, headers."""
    parts: list[bytes] = []
    for spec in topic_specs(settings.kafka.topic_prefix):
        for record in stored(infra, spec.name):
            parts += [record.key or b"", record.value or b"", *(value or b"" for _, value in record.headers)]
    return b"\n".join(parts)


def in_valkey(infra: Endpoints) -> bytes:
    """Everything that the server holds: keys, fields, values."""
    parts: list[bytes] = []
    with redis.Redis.from_url(infra.valkey_url) as client:
        for key in client.scan_iter(count=1000):
            fields = client.hgetall(key)
            parts += [key, *fields, *fields.values()]
    return b"\n".join(parts)


Run = Callable[..., str]


@pytest.fixture
def run(stage: Stage) -> Run:
    """The command line with the settings."""

    def run(settings: Settings, *arguments: str) -> str:
        present, previous = settings.privacy.pseudonym_key_file, settings.privacy.previous_pseudonym_key_files
        environment = stage.variables() | {
            "CROSSREC_PRIVACY__PSEUDONYM_KEY_FILE": str(present),
            "CROSSREC_PRIVACY__PREVIOUS_PSEUDONYM_KEY_FILES": json.dumps([str(path) for path in previous]),
        }
        result = CliRunner().invoke(app, list(arguments), env=environment)
        assert 0 == result.exit_code, result.output
        return result.stdout

    return run


def test_ids_reach_neither_kafka_nor_valkey_and_still_rank(
    infra: Endpoints,
    stage: Stage,
    keys: list[Path],
    run: Run,
) -> None:
    """Events, an erasure and dead letters, published over gRPC; ranking and export by the id find what was folded."""
    settings = named(stage, keys[0])
    publish(settings, ENTRIES)
    # The consumers reject it as too old.
    publish(settings, [old_event(BAD)])
    strict = stage.settings.model_copy(update={"gateway": stage.settings.gateway.model_copy(update=MAX_AGE)})
    fold(Stage(strict, stage.store, stage.producer, stage.admin), "scenario", "item", "behavior", "activity")

    pseudonyms = open_pseudonymizer(settings.privacy)
    kafka, valkey = in_kafka(infra, settings), in_valkey(infra)
    for user in (USER, OTHER, BAD):
        assert (False, False) == (user.encode() in kafka, user.encode() in valkey)
        assert pseudonyms.pseudonymize(user).encode() in kafka
    assert pseudonyms.pseudonymize(USER).encode() in valkey
    assert 1 == len(stored(infra, f"{settings.kafka.topic_prefix}.dead-letter"))

    answer = ranked(settings, stage, USER)
    assert ([], True) == (list(answer.degraded), answer.freshness.HasField("newest_user_event"))
    assert pseudonyms.pseudonymize(USER).encode() not in answer.SerializeToString()
    assert [DEGRADATION_REASON_UNKNOWN_USER] == [d.reason for d in ranked(stage.settings, stage, USER).degraded]

    shown = run(settings, "user", "export", USER)
    assert (True, False) == (json.loads(shown)["found"], pseudonyms.pseudonymize(USER) in shown)
    assert json.loads(run(settings, "user", "export", OTHER))["erased"]


def test_an_erasure_reaches_what_was_stored_under_an_earlier_key(
    stage: Stage,
    keys: list[Path],
    run: Run,
) -> None:
    """Export reads rows under both keys; afterwards nothing is stored under either."""
    publish(named(stage, keys[0]), ENTRIES[:5])
    rotated = named(stage, keys[1], keys[0])
    publish(rotated, ENTRIES[2:3])
    fold(stage, "scenario", "item", "behavior")
    found = json.loads(run(rotated, "user", "export", USER))
    assert [2, 2] == [len(rows) for rows in found["views"].values()]
    assert "Stored in Kafka" in run(rotated, "user", "erase", USER)
    fold(stage, "behavior")
    left = json.loads(run(rotated, "user", "export", USER))
    assert (False, True) == (left["found"], left["erased"] is not None)
    for key in keys:
        pseudonym = open_pseudonymizer(PrivacySettings(pseudonym_key_file=key)).pseudonymize(USER)
        assert [None] == read_rows(stage.store, SCHEMA["user"], [(pseudonym,)])


MAX_AGE = {"max_age_half_lives": 10}


def old_event(user: str) -> Entry:
    """An event of the year 2001."""
    event = BehaviorEvent(user_id=user, scenario_id="tv", item_id="tea", type="EVENT_TYPE_CLICK")
    event.time.FromSeconds(1_000_000_000)
    return Entry(behavior_event=event)
