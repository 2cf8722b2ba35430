"""The commands for consumers and dead letters, against a real Kafka; an invalid record is repaired and folded."""

import json
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import json_format
from typer.testing import CliRunner

from services.consumers.dead_letters.replay import ReplayRefused
from services.kafka import exclusive_writer, groups, reader
from services.kafka.connection import KafkaUnavailable
from services.kafka.topics import partition_of
from services.main import app
from tests.integration.consumer_harness import Stage, clicks, folded, running
from tests.unit.consumers.streams import behavior_event
from tests.waiting import wait_until

pytestmark = pytest.mark.integration


def run(stage: Stage, *arguments: str) -> str:
    """The command's output; errors are raised."""
    environment = stage.variables() | {"COLUMNS": "250", "NO_COLOR": "1"}
    result = CliRunner().invoke(app, list(arguments), env=environment, catch_exceptions=False)
    assert 0 == result.exit_code, result.output
    return result.output


def dead_letters(stage: Stage, *options: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(run(stage, "dead-letters", "list", "--json", *options))
    return found


def send(stage: Stage, topic: str, value: bytes, headers: list[tuple[str, bytes]], key: bytes | None = b"u0") -> None:
    stage.producer.send(f"{stage.settings.kafka.topic_prefix}.{topic}", value, key, headers).get(timeout=300)


def test_a_dead_letter_is_repaired_and_folded(stage: Stage, tmp_path: Path) -> None:
    """Listed, shown, rejected while invalid, folded once repaired, and not sent twice."""
    bad, repaired = behavior_event(1, scenario_id=""), tmp_path / "repaired.json"
    with running(stage, "behavior"):
        send(stage, "behavior", bad.SerializeToString(), [("trace", b"t1")])
        send(stage, "behavior", b"\xff\x00", [])
        wait_until(lambda: len(dead_letters(stage)) == 2)
        first, second = dead_letters(stage)
        assert ("behavior_event.scenario_id: is empty", None) == (first["reason"], first["replayed"])
        number = str(first["number"])
        table, shown = run(stage, "dead-letters", "list"), run(stage, "dead-letters", "show", number)
        assert "behavior_event.scenario_id: is empty" in table
        assert "header     trace: 't1'" in shown
        assert '"userId": "u0"' in shown
        assert "00000000  ff 00" in run(stage, "dead-letters", "show", str(second["number"]))

        repaired.write_text(json_format.MessageToJson(bad))
        with pytest.raises(ReplayRefused, match=r"behavior_event\.scenario_id: is empty"):
            run(stage, "dead-letters", "replay", number, "--edit", str(repaired))
        repaired.write_text(json_format.MessageToJson(behavior_event(1)))
        assert "sent to" in run(stage, "dead-letters", "replay", number, "--edit", str(repaired))
        wait_until(lambda: clicks(stage, "u0") == 1.0)
        assert dead_letters(stage)[0]["replayed"]
        with pytest.raises(ReplayRefused, match=f"replayed before: {number}"):
            run(stage, "dead-letters", "replay", number, str(second["number"]))
        assert 2 == len(dead_letters(stage))
        run(stage, "dead-letters", "replay", number, "--again")
        wait_until(lambda: len(dead_letters(stage)) == 3)
    assert dead_letters(stage)[2]["reason"] == first["reason"]


def test_replayed_records_are_unchanged_in_the_partition_of_their_key(stage: Stage) -> None:
    """Key, value and headers are kept; several at once; filters of the list."""
    headers = [("content-type", b"text/plain"), ("trace", b"t")]
    with running(stage, "item"), running(stage, "behavior"):
        send(stage, "items", b"a", headers, b"i1\x1fs2")
        send(stage, "behavior", b"b", headers, None)
        wait_until(lambda: len(dead_letters(stage)) == 2)
        first_two = dead_letters(stage)
        run(stage, "dead-letters", "replay", *(str(dead_letter["number"]) for dead_letter in first_two))
        wait_until(lambda: len(dead_letters(stage)) == 4)
    assert 2 == len(dead_letters(stage, "--topic", "items")) == len(dead_letters(stage, "--limit", "2"))
    assert [] == dead_letters(stage, "--since", "2200-01-01")
    before, after = dead_letters(stage, "--topic", "items")
    assert before["reason"] == after["reason"]
    shown = run(stage, "dead-letters", "show", str(after["number"]))
    assert "key        'i1\\x1fs2'\nheader     content-type: 'text/plain'\nheader     trace: 't'" in shown
    assert partition_of(b"i1", range(4)) == after["partition"]


def statuses(stage: Stage) -> dict[str, Any]:
    return {group["kind"]: group for group in json.loads(run(stage, "consumers", "status", "--json"))}


def test_status_shows_members_and_lag(stage: Stage) -> None:
    """Before there are groups, while one folds, and after it has left with records unread."""
    stage.send([behavior_event(1)])
    assert {"absent"} == {group["state"] for group in statuses(stage).values()}
    assert (1, True) == (statuses(stage)["behavior"]["lag_records"], statuses(stage)["behavior"]["lag_s"] > 0)
    with running(stage, "behavior"):
        wait_until(lambda: folded(stage, "behavior"))
        found = statuses(stage)["behavior"]
        assert ("Stable", [0, 1, 2, 3], 0, 0.0) == (
            found["state"],
            found["members"][0]["partitions"],
            found["lag_records"],
            found["lag_s"],
        )
    stage.send([behavior_event(2), behavior_event(3)])
    found = statuses(stage)["behavior"]
    assert ("Empty", [], 2) == (found["state"], found["members"], found["lag_records"])
    # The activity topic ends with the marker of a transaction.
    with running(stage, "activity"):
        wait_until(lambda: folded(stage, "activity"))
    assert 0 == statuses(stage)["activity"]["lag_records"]
    table = run(stage, "consumers", "status")
    assert "behavior" in table
    assert "Empty" in table


def test_missing_servers_topics_and_dead_letters_are_reported(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each as an error or as a state of its own."""
    with pytest.raises(Exception, match="holds no dead letter 7"):
        run(stage, "dead-letters", "show", "7")
    bare = stage.variables() | {"CROSSREC_KAFKA__TOPIC_PREFIX": "bare"}
    result = CliRunner().invoke(app, ["consumers", "status", "--json"], env=bare)
    assert {"no topic"} == {group["state"] for group in json.loads(result.output)}
    for module in (exclusive_writer, groups, reader):
        monkeypatch.setattr(module, "WAIT_S", 1.0)
    for command in (["consumers", "status"], ["dead-letters", "list"], ["dead-letters", "replay", "1"]):
        away = CliRunner().invoke(app, command, env={"CROSSREC_KAFKA__BOOTSTRAP_SERVERS": "127.0.0.1:1"})
        assert isinstance(away.exception, KafkaUnavailable)
        assert "Kafka at 127.0.0.1:1 cannot be reached" in str(away.exception)
