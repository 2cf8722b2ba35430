"""Dashboard and alerts query what real processes export: every name and every label."""

import json
import os
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

import grpc
import promql_parser as promql
import pytest

from crossrec.events.v1.events_pb2 import Entry, PublishRequest, ScenarioUpdate
from crossrec.events.v1.events_pb2_grpc import EventServiceStub
from crossrec.ranking.v1.ranking_pb2 import RankRequest
from crossrec.ranking.v1.ranking_pb2_grpc import RankingServiceStub
from deploy.grafana.dashboard import PATH, text
from services.infra.ports import choose_port
from services.registry.reader import Registry, Version
from services.registry.rollout import Arm, Rollout, ServingState, serialize_serving
from services.text.encoder import EncoderInfo
from tests.contract.alert_rules import grouping, rules, samples, selectors
from tests.integration.consumer_harness import SCHEMA, Stage, running
from tests.unit.consumers.streams import behavior_event, item_update
from tests.unit.ranking.model.tiny_models import ENCODER, register
from tests.waiting import wait_until

pytestmark = pytest.mark.integration

ROOT = Path(__file__).resolve().parents[2]
PROMETHEUS = {"up": {"job", "instance"}}
"""What Prometheus adds itself, to `up` and to every series."""

KINDS = ("behavior", "item", "scenario", "activity")


def queries() -> list[str]:
    """Every query of dashboard and alerts, with Grafana's variables filled in."""
    panels = json.loads(PATH.read_text())["panels"]
    asked = [target["expr"] for panel in panels for target in panel.get("targets", [])]
    return [query.replace("$__rate_interval", "5m") for query in [*asked, *(r["expr"] for r in rules().values())]]


def free_port() -> int:
    return choose_port(0, None, ())


@contextmanager
def process(stage: Stage, directory: Path, command: str, **settings: str) -> Iterator[tuple[str, str]]:
    """A ready server process; yields the addresses of its service and its metrics."""
    listen, metrics = f"127.0.0.1:{free_port()}", f"127.0.0.1:{free_port()}"
    part = command.upper()
    chosen = {"LISTEN": listen, "METRICS_LISTEN": metrics, **settings}
    environment = {
        **os.environ,
        **stage.variables(),
        **{f"CROSSREC_{part}__{name}": value for name, value in chosen.items()},
        "CROSSREC_REGISTRY_DIR": str(directory / "models"),
        "CROSSREC_ENCODER_DIR": str(directory / "encoder"),
        "PYTHONPATH": f"{ROOT}:{ROOT / 'proto' / 'gen'}",
    }
    code = f"from services.main import main; import sys; sys.argv[1:] = ['serve', '{command}']; main()"
    started = subprocess.Popen([sys.executable, "-W", "ignore", "-c", code], env=environment, cwd=directory)
    try:
        wait_until(lambda: answers(f"{metrics}/ready") or started.poll() is not None)
        yield listen, metrics
    finally:
        started.terminate()
        started.wait()


def answers(address: str) -> bool:
    """Whether a GET is answered with 200."""
    try:
        with urllib.request.urlopen(f"http://{address}", timeout=10):
            return True
    except OSError:
        return False


def read(address: str) -> str:
    with urllib.request.urlopen(f"http://{address}/metrics", timeout=300) as answer:
        return str(answer.read().decode())


def prepare(directory: Path) -> None:
    """Two models, one of them as a shadow, and their encoder."""
    for number in (1, 2):
        register(directory / "models", SCHEMA, number, name="neural")
    rollout = Rollout((Arm("", Version("neural", 1), 1.0),), "", Version("neural", 2))
    Registry(directory / "models").write("neural/serving.json", serialize_serving(ServingState(rollout)))
    (directory / "encoder").mkdir()
    EncoderInfo(ENCODER, SCHEMA.config.text_dims, 0, "made").save(directory / "encoder")


def publish(address: str) -> None:
    """Publish an entry of every kind, and an invalid one."""
    scenario = Entry(scenario_update=ScenarioUpdate(scenario_id="s0", name="tv", description="evenings on the sofa"))
    entries = [scenario, item_update(0, attributes={}), Entry()]
    entries += [behavior_event(number) for number in range(5)]
    with grpc.insecure_channel(address) as channel:
        stub = EventServiceStub(channel)
        results = stub.Publish(PublishRequest(entries=entries), timeout=300, wait_for_ready=True).results
    assert {"accepted", "rejected"} == {result.WhichOneof("result") for result in results}


def rank(address: str) -> None:
    """For a known user."""
    with grpc.insecure_channel(address, [("grpc.use_local_subchannel_pool", 1)]) as channel:
        stub = RankingServiceStub(channel)
        wanted = RankRequest(user_id="u0", scenario_id="s0", item_ids=["i0", "i1"])
        for _ in range(20):
            stub.Rank(wanted, timeout=300, wait_for_ready=True)


def labels_of(texts: list[str]) -> dict[str, set[str]]:
    """Label names by metric."""
    found: dict[str, set[str]] = dict(PROMETHEUS)
    for one in texts:
        for name, labels in samples(one):
            found.setdefault(name, set()).update(label for label, _ in labels)
    return found


def test_the_dashboard_file_matches_its_description() -> None:
    """`python -m deploy.grafana.dashboard` writes it."""
    assert text() == PATH.read_text()


@pytest.mark.parametrize("workers", [1, 2])
def test_every_query_uses_exported_metrics(workers: int, stage: Stage, tmp_path: Path) -> None:
    """By a gateway, consumers of all kinds and a ranking server on a real Kafka and a real Valkey."""
    prepare(tmp_path)
    consumers = {kind: f"127.0.0.1:{free_port()}" for kind in KINDS}
    with ExitStack() as stack:
        for kind, address in consumers.items():
            chosen = stage.settings.consumers.model_copy(update={"metrics_listen": address})
            own = replace(stage, settings=stage.settings.model_copy(update={"consumers": chosen}))
            stack.enter_context(running(own, kind))
        gateway, gateway_metrics = stack.enter_context(process(stage, tmp_path, "gateway"))
        publish(gateway)
        stage.producer.send(stage.topic("behavior"), b"nonsense", b"u0").get(timeout=300)
        wait_until(lambda: "crossrec_consumer_dead_letters_total{" in read(consumers["behavior"]))
        wait_until(lambda: "crossrec_consumer_batch_records_count" in read(consumers["activity"]))
        shadow = {"WORKERS": str(workers), "SHADOW_SHARE": "1.0"}
        ranking, ranking_metrics = stack.enter_context(process(stage, tmp_path, "ranking", **shadow))
        rank(ranking)
        wait_until(lambda: 'outcome="compared"' in read(ranking_metrics))
        texts = [read(address) for address in (gateway_metrics, ranking_metrics, *consumers.values())]
    known = labels_of(texts)
    for query in queries():
        parsed = promql.parse(query)
        asked = list(selectors(parsed))
        assert asked
        for selector in asked:
            assert selector.name in known, f"{selector.name} in {query}"
            matched = {matcher.name for matcher in selector.matchers.matchers}
            assert matched <= known[selector.name] | PROMETHEUS["up"], query
        labels = set.union(*(known[selector.name] for selector in asked)) | PROMETHEUS["up"]
        assert set(grouping(parsed)) <= labels, query


def test_workers_are_counted_as_one(stage: Stage, tmp_path: Path) -> None:
    """Every request counts once, whichever worker answered it; values shared by all workers are not summed."""
    prepare(tmp_path)
    ready = ("crossrec_ranking_workers", (("state", "ready"),))
    with process(stage, tmp_path, "ranking", WORKERS="2") as (ranking, metrics):
        wait_until(lambda: samples(read(metrics))[ready] == 2)
        threads = [threading.Thread(target=rank, args=(ranking,)) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        answered = ("crossrec_ranking_requests_total", (("code", "OK"),))
        wait_until(lambda: samples(read(metrics))[answered] >= 60)
        values = samples(read(metrics))
    assert 60 == values[answered] == values["crossrec_ranking_request_seconds_count", ()]
    assert 1.0 == values["crossrec_ranking_model_weight", (("arm", ""), ("model", "neural/1"))]
    assert 2 == values[ready]
