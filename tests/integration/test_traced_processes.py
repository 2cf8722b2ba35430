"""Gateway, consumer and ranking server as separate processes that export traces to a collector."""

import json
import os
import signal
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc
import pytest

from crossrec.events.v1.events_pb2 import Entry, PublishRequest
from crossrec.events.v1.events_pb2_grpc import EventServiceStub
from crossrec.ranking.v1.ranking_pb2 import RankRequest
from crossrec.ranking.v1.ranking_pb2_grpc import RankingServiceStub
from services.infra.commands import Endpoints
from services.text.encoder import EncoderInfo
from tests.contract.private import SECRET_METADATA, SECRETS, TEXT, USER
from tests.integration.consumer_harness import SCHEMA, Stage, folded, staged
from tests.unit.consumers.streams import behavior_event
from tests.unit.ranking.model.tiny_models import ENCODER, register
from tests.unit.server.telemetry.collector import running_collector
from tests.unit.server.telemetry.recorded import TRACEPARENT
from tests.waiting import wait_until

pytestmark = pytest.mark.integration

ROOT = Path(__file__).resolve().parents[2]
GATEWAY = ("-c", "from services.main import main; main()", "serve", "gateway")
RANKING = (*GATEWAY[:-1], "ranking")
CONSUMER = ("-m", "tests.integration.crashing_consumer", "never", "1")


@dataclass
class Process:
    """A process, and its log."""

    running: subprocess.Popen[bytes]
    log: Path

    def logged(self, event: str) -> dict[str, str]:
        """The first log line of the event, once it is logged; an error if the process ends before."""
        while self.running.poll() is None:
            for line in self.log.read_text().splitlines(keepends=True):
                if f'"event": "{event}"' in line and line.endswith("\n"):
                    return dict(json.loads(line))
            threading.Event().wait(0.05)
        raise AssertionError(self.log.read_text())


@contextmanager
def process(
    stage: Stage, log: Path, endpoint: str, *command: str, variables: Mapping[str, str] | None = None
) -> Iterator[Process]:
    """A process of the stage, with additional environment variables, ended by SIGTERM."""
    environment = {
        **os.environ,
        **stage.variables(),
        "PYTHONPATH": f"{ROOT}:{ROOT / 'proto' / 'gen'}",
        "CROSSREC_TELEMETRY__ENDPOINT": endpoint,
        "CROSSREC_TELEMETRY__SAMPLE_RATIO": "0",
        "CROSSREC_GATEWAY__LISTEN": "127.0.0.1:0",
        "CROSSREC_CONSUMERS__METRICS_LISTEN": "127.0.0.1:0",
        **(variables or {}),
    }
    start = [sys.executable, "-W", "ignore", *command]
    with log.open("w") as stderr, subprocess.Popen(start, cwd=ROOT, env=environment, stderr=stderr) as running:
        try:
            yield Process(running, log)
        finally:
            running.send_signal(signal.SIGTERM)
        assert running.wait(300) == 0, log.read_text()


def queries() -> list[Entry]:
    """A valid one, one with a too long user id, and one with a value that queries must not have."""
    good = {"user_id": USER, "type": "EVENT_TYPE_QUERY", "item_id": "", "text": TEXT}
    return [behavior_event(1, **good), behavior_event(2, user_id=USER * 20), behavior_event(3, **good, value=-1.0)]


def test_one_trace_reaches_the_collector_from_both(infra: Endpoints, tmp_path: Path) -> None:
    """Each process under its own name, by the time it ends; no log line, span or metric holds user data."""
    logs = [tmp_path / "gateway.log", tmp_path / "consumer.log"]
    with running_collector() as (collector, endpoint), staged(infra, tmp_path) as stage:
        with (
            process(stage, logs[0], endpoint, *GATEWAY) as gateway,
            process(stage, logs[1], endpoint, *CONSUMER) as consumer,
            grpc.insecure_channel(gateway.logged("gateway_started")["address"]) as channel,
        ):
            address = consumer.logged("metrics_listening")["address"]
            consumer.logged("rebalanced")
            request, metadata = PublishRequest(entries=queries()), (("traceparent", TRACEPARENT), *SECRET_METADATA)
            stub = EventServiceStub(channel)
            stub.Publish(request, timeout=300, wait_for_ready=True, metadata=metadata)
            stub.Publish(request, timeout=300, metadata=SECRET_METADATA)
            wait_until(lambda: stage.end("behavior") > 0 and folded(stage, "behavior"))
            with urllib.request.urlopen(f"http://{address}/metrics", timeout=300) as answer:
                metrics = answer.read().decode()
        topic = f"{stage.settings.kafka.topic_prefix}.behavior"
        assert {
            ("crossrec-gateway", "crossrec.events.v1.EventService/Publish"),
            ("crossrec-gateway", f"send {topic}"),
            ("crossrec-consumer-behavior", f"process {topic}"),
            ("crossrec-consumer-behavior", "write user"),
        } <= set(collector.spans())
        assert {TRACEPARENT.split("-")[1]} == collector.trace_ids()
        shown = [metrics, str(collector.requests), *(log.read_text() for log in logs)]
    assert "crossrec_consumer_events_total" in metrics
    assert not [secret for secret in SECRETS if any(secret in text for text in shown)]


def test_the_ranking_server_sends_its_traces(infra: Endpoints, tmp_path: Path) -> None:
    """Request and stages; no span holds user data."""
    register(tmp_path / "registry", SCHEMA, 1)
    EncoderInfo(ENCODER, SCHEMA.config.text_dims, 0, "tiny").save(tmp_path)
    variables = {
        "CROSSREC_REGISTRY_DIR": str(tmp_path / "registry"),
        "CROSSREC_ENCODER_DIR": str(tmp_path),
        "CROSSREC_RANKING__MODEL": "tiny",
        "CROSSREC_RANKING__LISTEN": "127.0.0.1:0",
    }
    log, metadata = tmp_path / "ranking.log", (("traceparent", TRACEPARENT), *SECRET_METADATA)
    with running_collector() as (collector, endpoint), staged(infra, tmp_path) as stage:
        with (
            process(stage, log, endpoint, *RANKING, variables=variables) as ranking,
            grpc.insecure_channel(ranking.logged("ranking_started")["address"]) as channel,
        ):
            stub, request = RankingServiceStub(channel), RankRequest(user_id=USER, item_ids=[TEXT, USER])
            stub.Rank(request, timeout=300, wait_for_ready=True, metadata=metadata)
        method = ("crossrec-ranking", "crossrec.ranking.v1.RankingService/Rank")
        assert {method, ("crossrec-ranking", "validate")} <= set(collector.spans())
        shown = [str(collector.requests), log.read_text()]
    assert not [secret for secret in SECRETS if any(secret in text for text in shown)]


def test_an_unreachable_collector_has_no_effect(infra: Endpoints, tmp_path: Path) -> None:
    """The gateway answers, and ends on SIGTERM."""
    with (
        staged(infra, tmp_path) as stage,
        process(stage, tmp_path / "log", "http://127.0.0.1:1", *GATEWAY) as gateway,
        grpc.insecure_channel(gateway.logged("gateway_started")["address"]) as channel,
    ):
        request, metadata = PublishRequest(entries=queries()[:1]), (("traceparent", TRACEPARENT),)
        answer = EventServiceStub(channel).Publish(request, timeout=300, wait_for_ready=True, metadata=metadata)
        assert ["accepted"] == [result.WhichOneof("result") for result in answer.results]
