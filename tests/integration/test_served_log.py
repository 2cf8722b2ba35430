"""The served log on a real Kafka: written, read back, joined to outcomes; and an unavailable Kafka."""

import json
import time
from pathlib import Path

import pytest
from kafka import KafkaProducer
from typer.testing import CliRunner

from crossrec.events.v1.events_pb2 import Entry
from export.monitoring.served_log import read_answers, read_behaviour
from services.infra.ports import choose_port
from services.kafka.sink import KafkaSink, open_sink_producer
from services.main import app
from services.ranking.served_log.log import ServedLog
from services.ranking.wiring import open_served_log
from tests.contract.rank_server import SCHEMA, request
from tests.integration.consumer_harness import Stage
from tests.unit.consumers.streams import behavior_event, erasure, timestamp
from tests.unit.export.monitoring.attribution.campaign import CTR, NDCG, PREDICTED, answers, outcomes
from tests.unit.ranking.served_log.answers import answer, ranker_with
from tests.waiting import wait_until

pytestmark = pytest.mark.integration


def log_of(stage: Stage) -> ServedLog:
    share = stage.settings.served_log.model_copy(update={"share": 1.0})
    log = open_served_log(stage.settings.model_copy(update={"served_log": share}), SCHEMA.fingerprint)
    assert log is not None
    return log


def test_answers_are_read_back_unchanged(stage: Stage) -> None:
    """In order of answering, over all partitions; a time range excludes records outside of it."""
    log = log_of(stage)
    ranker = ranker_with(log)
    log.start()
    given = [answer(ranker, request(user_id=user)) for user in ("ann", "bob", "carl", "dora")]
    log.stop()
    read = read_answers(stage.settings, 0.0, float("inf"), {})
    assert (4, 0) == (log.written, log.dropped)
    assert given == [record.answer for record in read.records]
    assert [] == read_answers(stage.settings, time.time() + 60, float("inf"), {}).records
    assert [] == read_answers(stage.settings, 0.0, time.time() - 60, {}).records


def test_answers_to_erased_users_are_left_out(stage: Stage) -> None:
    """Answers to other users, and later ones to the same user, stay."""
    log = log_of(stage)
    ranker = ranker_with(log)
    log.start()
    for user in ("ann", "bob"):
        answer(ranker, request(user_id=user))
    wait_until(lambda: log.written == 2)
    stage.send([erasure("ann", time.time())])
    answer(ranker, request(user_id="ann"))
    log.stop()
    behaviour = read_behaviour(stage.settings, 0.0)
    read = read_answers(stage.settings, 0.0, float("inf"), behaviour.erased_s)
    assert ["bob", "ann"] == [record.user_id for record in read.records]
    assert 1 == read.erased


def test_nothing_is_written_by_default(stage: Stage) -> None:
    """Records name users, so the operator has to enable them."""
    assert open_served_log(stage.settings, SCHEMA.fingerprint) is None


def test_ranking_continues_without_kafka(stage: Stage) -> None:
    """Answers are dropped and counted until Kafka is available; then they are written."""
    servers = [f"127.0.0.1:{choose_port(0, None, ())}"]
    now_s = [0.0]
    topic = f"{stage.settings.kafka.topic_prefix}.ranked"
    sink = KafkaSink(topic, lambda: open_sink_producer(servers[0]), lambda: now_s[0])
    log = ServedLog(sink, SCHEMA.fingerprint, 1.0, 64, 32)
    ranker = ranker_with(log)
    log.start()
    assert 3 == len(answer(ranker, request()).items)
    wait_until(lambda: log.dropped == 1)
    servers[0], now_s[0] = stage.settings.kafka.bootstrap_servers, 60.0
    assert 3 == len(answer(ranker, request(user_id="bob")).items)
    log.stop()
    assert (1, 1) == (log.written, log.dropped)
    assert ["bob"] == [record.user_id for record in read_answers(stage.settings, 0.0, float("inf"), {}).records]


def test_a_campaign_has_the_metrics_calculated_by_hand(
    stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`crossrec attribution` over real topics; an erased user's answers and outcomes no longer count."""
    made = answers(served_s=time.time())
    for record in made:
        topic = f"{stage.settings.kafka.topic_prefix}.ranked"
        stage.producer.send(topic, record.SerializeToString(), record.user_id.encode())
    stage.send([_event(number, *line) for number, line in enumerate(outcomes(made))])
    for name, value in stage.variables().items():
        monkeypatch.setenv(name, value)
    x, y, both = _attribution(tmp_path / "figures.json")["groups"]
    assert ("tv", "m/1", "x", 2, 5, 2) == tuple(
        x[name] for name in ("scenario", "model", "arm", "answers", "impressions", "clicks")
    )
    assert (CTR, pytest.approx(NDCG)) == (x["ctr"]["value"], x["ndcg"]["value"])
    assert pytest.approx(PREDICTED) == x["predicted"]
    assert ("y", 1, 0, None) == (y["arm"], y["answers"], y["impressions"], y["ctr"]["value"])
    assert (3, 5) == (both["answers"], both["impressions"])
    stage.send([erasure("ann", time.time())])
    after = _attribution(tmp_path / "after.json")
    (x,) = after["groups"]
    assert ("x", 1, 2, 1) == (x["arm"], x["answers"], x["impressions"], x["clicks"])
    assert {"erased users": 2, "unreadable": 0} == after["answers_left_out"]


def _event(number: int, user: str, kind: str, item: str, token: str) -> Entry:
    return behavior_event(
        number,
        user_id=user,
        type=f"EVENT_TYPE_{kind.upper()}",
        item_id=item,
        time=timestamp(time.time()),
        attribution_token=token,
    )


def _attribution(out: Path) -> dict[str, list[dict[str, dict[str, float]]]]:
    result = CliRunner().invoke(app, ["attribution", "--json", str(out)], env={"COLUMNS": "160"})
    assert 0 == result.exit_code, result.output
    return json.loads(out.read_text())


def test_unreadable_records_are_counted(stage: Stage) -> None:
    """Other bytes on the topic do not stop the reader."""
    producer: KafkaProducer = stage.producer
    for value in (b"\xff\xff", None):
        producer.send(f"{stage.settings.kafka.topic_prefix}.ranked", value, b"k")
    producer.flush()
    read = read_answers(stage.settings, 0.0, float("inf"), {})
    assert (2, 0, []) == (read.unreadable, read.erased, read.records)
