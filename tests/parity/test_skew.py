"""Skew between serving and training, on real data through the real chain: none, until a consumer has a mistake.

The model does not matter to features, so a tiny one ranks.
"""

import json
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from typer.testing import CliRunner

from crossrec.ranking.v1.ranking_pb2 import RankRequest
from crossrec.ranking.v1.ranking_pb2_grpc import RankingServiceStub
from export.datasets.completejourney.source import week_start_ms
from export.datasets.registry import import_dataset
from export.datasets.storage import DatasetReader
from export.demo.main import DATASET, RANKED_WEEK, STREAMED_WEEK
from export.harness.environment import Environment
from export.harness.stream import ConsumerLagProbe, entries_between, publish, timestamp
from export.monitoring.served_log import read_answers
from export.replay.backfill import fill_store
from export.replay.history import History, load_history
from export.replay.pipeline import ensure_encoder
from services.features.schema import build_schema
from services.kafka.topics import create_topics, topic_specs
from services.main import app
from services.settings.load import Settings, load_settings
from services.store.connect import apply_definitions
from services.text.encoder import EncoderInfo
from tests.unit.ranking.model.tiny_models import register

pytestmark = [pytest.mark.parity, pytest.mark.timeout(900)]

HOUSEHOLDS = 12
WEEK_S = 7 * 86_400.0
BEGIN_S, END_S = (float(week_start_ms(np.array([week]))[0]) / 1000 for week in (STREAMED_WEEK, RANKED_WEEK))


class PatientEnvironment(Environment):
    """Whose servers may take long to start beside other work."""

    def wait_healthy(self, address: str, timeout_s: float = 240.0) -> None:
        super().wait_healthy(address, timeout_s)


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Environment]:
    monkeypatch.setenv("CROSSREC_SERVED_LOG__SHARE", "1")
    monkeypatch.setenv("CROSSREC_SERVED_LOG__WAITING", "10000")
    # Items and scenarios are read again for every request, so that nothing is older than the last event.
    monkeypatch.setenv("CROSSREC_RANKING__ITEM_CACHE_AGE_S", "0")
    monkeypatch.setenv("CROSSREC_RANKING__SCENARIO_CACHE_AGE_S", "0")
    with PatientEnvironment(tmp_path / "demo", DATASET) as environment:
        yield environment


def prepare(environment: Environment, settings: Settings) -> DatasetReader:
    """What the demo does, but for training: import, encoder, model, topics, views, backfill, servers."""
    directory = environment.data / DATASET
    import_dataset(DATASET, directory, households=HOUSEHOLDS, seed=0)
    reader = DatasetReader(directory)
    ensure_encoder(settings, reader)
    fingerprint = EncoderInfo.load(settings.encoder_dir).fingerprint
    schema = build_schema(settings.features)
    register(environment.data / "registry", schema, 1, name="neural", encoder_fingerprint=fingerprint)
    create_topics(settings.kafka.bootstrap_servers, topic_specs(settings.kafka.topic_prefix, settings.kafka.partitions))
    apply_definitions(settings)
    fill_store(settings, reader.path, BEGIN_S, workers=1)
    environment.start_servers()
    return reader


def stream_week(environment: Environment, settings: Settings, history: History, begin_s: float) -> None:
    """Publish a week and wait until it is folded."""
    entries = entries_between(history, settings.features, begin_s, begin_s + WEEK_S)
    assert len(entries) == publish(environment.gateway_address, entries).accepted
    lag = ConsumerLagProbe(settings)
    lag.wait(environment.processes.check, lambda _: None)
    lag.close()


def requests_of(history: History, time_s: float) -> list[RankRequest]:
    """What the ranked week's impressions ask, one request per household and scenario, at a time."""
    asked = history.requests
    items: dict[tuple[str, str], dict[str, None]] = {}
    for row in np.flatnonzero(asked.time_s == END_S).tolist():
        items.setdefault((asked.user[row], asked.scenario[row]), {})[asked.item[row]] = None
    return [
        RankRequest(user_id=user, scenario_id=scenario, item_ids=list(named), request_time=timestamp(time_s))
        for (user, scenario), named in items.items()
    ]


def rank(environment: Environment, settings: Settings, requests: Sequence[RankRequest], already: int) -> None:
    """Put the requests, and wait for their records."""
    with grpc.insecure_channel(environment.ranking_address) as channel:
        stub = RankingServiceStub(channel)  # type: ignore[no-untyped-call]
        for request in requests:
            assert [] == list(stub.Rank(request, timeout=60).degraded)
    deadline = time.monotonic() + 60
    while len(read_answers(settings, 0.0, float("inf"), {}).records) < already + len(requests):
        assert time.monotonic() < deadline, "waited in vain"


def skew(out: Path, *arguments: str) -> tuple[int, dict[str, Any]]:
    """Exit code and figures of the command; everything is known to be folded, so nothing needs time to settle."""
    command = ["skew", "--data", DATASET, "--settle", "0", "--json", str(out), *arguments]
    result = CliRunner().invoke(app, command, env={"COLUMNS": "200"})
    assert out.exists(), result.output
    return result.exit_code, json.loads(out.read_text())


def test_a_live_week_has_no_skew_and_a_wrong_half_life_is_named(environment: Environment, tmp_path: Path) -> None:
    """The demo's live week agrees in every value; after a consumer with other half-lives users' counts do not.

    The mistake shows where counts and language fade from one event to the next, and where it is looked at; what lies
    in tables, and what all users' events add up to, is still right.
    """
    settings = load_settings()
    reader = prepare(environment, settings)
    history = load_history(reader, settings.features)
    stream_week(environment, settings, history, BEGIN_S)
    requests = requests_of(history, END_S)
    rank(environment, settings, requests, 0)
    status, found = skew(tmp_path / "clean.json")
    assert [] == found["skew"]
    assert 0 == status
    assert len(requests) == found["requests"]["compared"] == found["requests"]["read"]
    assert found["values"] > 10_000
    assert 0 == found["excluded_values"] == sum(found["reasons"].values())

    environment.processes.stop_one("consumer-behavior")
    environment.processes.start_python("consumer-behavior", "-m", "tests.parity.skewed_consumer")
    stream_week(environment, settings, history, END_S)
    since = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime())
    rank(environment, settings, requests_of(history, END_S + WEEK_S), len(requests))
    status, found = skew(tmp_path / "skewed.json", "--from", since)
    features = {(line["tensor"], line["feature"]) for line in found["skew"]}
    assert (1, len(requests)) == (status, found["requests"]["compared"])
    slow = settings.features.half_lives_s[-1]
    assert {("behavior", f"{whose}_purchase_{slow:g}s") for whose in ("scenario", "all")} <= features
    assert {"behavior", "language", "item", "cross"} >= {tensor for tensor, _ in features}
    likenesses = {name for tensor, name in features if tensor in {"item", "cross"}}
    assert {"user_text_similarity", "user_scenario_text_similarity"} >= likenesses
