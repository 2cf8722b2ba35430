"""Training-serving skew on real data and real processes: there is none, unless a consumer has a bug.

Features do not depend on the model, so a tiny one ranks.
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
from export.demo.main import DATASET, RANKED_WEEK, STREAMED_WEEK
from export.harness.environment import Environment
from export.harness.stage import DatasetStage, create_stage_topics, prepare_stage
from export.harness.stream import ConsumerLagProbe, entries_between, publish_entries, timestamp
from export.monitoring.served_log import read_answers
from export.replay.backfill import fill_store
from export.replay.history import DatasetHistory
from services.features.schema import build_schema
from services.main import app
from services.store.feast_registry import apply_definitions
from services.text.encoder import EncoderInfo
from tests.unit.ranking.model.tiny_models import register

pytestmark = [pytest.mark.parity, pytest.mark.timeout(900)]

HOUSEHOLDS = 12
WEEK_S = 7 * 86_400.0
BEGIN_S, END_S = (float(week_start_ms(np.array([week]))[0]) / 1000 for week in (STREAMED_WEEK, RANKED_WEEK))


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Environment]:
    monkeypatch.setenv("CROSSREC_SERVED_LOG__SHARE", "1")
    monkeypatch.setenv("CROSSREC_SERVED_LOG__WAITING", "10000")
    # Items and scenarios are read for every request, so that no cached row is older than the last event.
    monkeypatch.setenv("CROSSREC_RANKING__ITEM_CACHE_AGE_S", "0")
    monkeypatch.setenv("CROSSREC_RANKING__SCENARIO_CACHE_AGE_S", "0")
    with Environment(tmp_path / "demo", DATASET) as environment:
        yield environment


def prepare(environment: Environment) -> DatasetStage:
    """Prepare what the demo does, without training: data, encoder, model, topics, views, backfill, servers."""
    stage = prepare_stage(environment, HOUSEHOLDS)
    settings = stage.settings
    fingerprint = EncoderInfo.load(settings.encoder_dir).fingerprint
    schema = build_schema(settings.features)
    register(
        environment.data / environment.dataset / "registry", schema, 1, name="neural", encoder_fingerprint=fingerprint
    )
    create_stage_topics(stage)
    apply_definitions(settings)
    fill_store(settings, stage.reader.path, BEGIN_S, workers=1)
    environment.start_servers()
    return stage


def stream_week(stage: DatasetStage, begin_s: float) -> None:
    """Publish a week and wait until it is folded."""
    environment, settings, history = stage.environment, stage.settings, stage.history
    entries = entries_between(history, settings.features, begin_s, begin_s + WEEK_S)
    assert len(entries) == publish_entries(environment.gateway_address, entries).accepted
    probe = ConsumerLagProbe(settings)
    probe.wait(environment.processes.check, lambda _: None)
    probe.close()


def impression_requests(history: DatasetHistory, time_s: float) -> list[RankRequest]:
    """The ranked week's impressions as requests at `time_s`, one per household and scenario."""
    labelled = history.requests
    items: dict[tuple[str, str], dict[str, None]] = {}
    for row in np.flatnonzero(labelled.time_s == END_S).tolist():
        items.setdefault((labelled.user[row], labelled.scenario[row]), {})[labelled.item[row]] = None
    return [
        RankRequest(user_id=user, scenario_id=scenario, item_ids=list(named), request_time=timestamp(time_s))
        for (user, scenario), named in items.items()
    ]


def rank(stage: DatasetStage, requests: Sequence[RankRequest], already: int) -> None:
    """Send the requests, and wait for their records in the served log."""
    environment, settings = stage.environment, stage.settings
    with grpc.insecure_channel(environment.ranking_address) as channel:
        stub = RankingServiceStub(channel)  # type: ignore[no-untyped-call]
        for request in requests:
            assert [] == list(stub.Rank(request, timeout=300).degraded)
    deadline = time.monotonic() + 60
    while len(read_answers(settings, 0.0, float("inf"), {}).records) < already + len(requests):
        assert time.monotonic() < deadline, "the served log lacks records"


def skew(out: Path, *arguments: str) -> tuple[int, dict[str, Any]]:
    """Exit code and report of the command; all events are folded, so no settle time is needed."""
    command = ["skew", "--data", DATASET, "--settle", "0", "--json", str(out), *arguments]
    result = CliRunner().invoke(app, command, env={"COLUMNS": "200"})
    assert out.exists(), result.output
    return result.exit_code, json.loads(out.read_text())


def test_a_live_week_has_no_skew_and_a_wrong_half_life_is_named(environment: Environment, tmp_path: Path) -> None:
    """The demo's live week agrees in every value; with a consumer of other half-lives users' counts do not.

    The bug affects decayed counts and language vectors, and features computed from them; tables and activity of all
    users stay right.
    """
    stage = prepare(environment)
    settings, history = stage.settings, stage.history
    stream_week(stage, BEGIN_S)
    requests = impression_requests(history, END_S)
    rank(stage, requests, 0)
    status, report = skew(tmp_path / "clean.json")
    assert [] == report["skew"]
    assert 0 == status
    assert len(requests) == report["requests"]["compared"] == report["requests"]["read"]
    assert report["values"] > 10_000
    assert 0 == report["excluded_values"] == sum(report["reasons"].values())

    environment.processes.stop_one("consumer-behavior")
    environment.processes.start_python("consumer-behavior", "-m", "tests.parity.skewed_consumer")
    stream_week(stage, END_S)
    since = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime())
    rank(stage, impression_requests(history, END_S + WEEK_S), len(requests))
    status, report = skew(tmp_path / "skewed.json", "--from", since)
    features = {(line["tensor"], line["feature"]) for line in report["skew"]}
    assert (1, len(requests)) == (status, report["requests"]["compared"])
    slow = settings.features.half_lives_s[-1]
    assert {("behavior", f"{whose}_purchase_{slow:g}s") for whose in ("scenario", "all")} <= features
    assert {"behavior", "language", "item", "cross"} >= {tensor for tensor, _ in features}
    similarities = {name for tensor, name in features if tensor in {"item", "cross"}}
    assert {"user_text_similarity", "user_scenario_text_similarity"} >= similarities
