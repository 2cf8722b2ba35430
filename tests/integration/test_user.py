"""`crossrec user export` and `crossrec user erase` on a real Kafka and a real Valkey."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import redis
from typer.testing import CliRunner

from export.datasets.registry import import_dataset
from export.datasets.storage import DatasetReader
from services.features.config import FeatureConfig
from services.features.feature import SCALAR, Feature
from services.features.schema import build_schema
from services.main import app
from services.store.redis.layout import RedisLayout
from services.store.schema_lineage import join_lineage
from tests.integration.consumer_harness import Stage, folded, running
from tests.unit.consumers.streams import behavior_event, item_update
from tests.waiting import wait_until

pytestmark = pytest.mark.integration

SCHEMA = build_schema(FeatureConfig())
USER = "ann-0b7d"

Run = Callable[..., str]


@pytest.fixture
def run(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> Run:
    """The command line against the stage's servers."""
    for name, value in stage.variables().items():
        monkeypatch.setenv(name, value)

    def run(*arguments: str) -> str:
        result = CliRunner().invoke(app, list(arguments), env={"COLUMNS": "500", "NO_COLOR": "1"})
        assert 0 == result.exit_code, result.output
        return result.stdout

    return run


def stored(stage: Stage, text: str) -> dict[bytes, dict[bytes, bytes]]:
    """Every hash of the stage's project whose key or fields hold the text."""
    host, port = stage.settings.store.url.split(":")
    found = {}
    with redis.Redis(host=host, port=int(port)) as client:
        for key in client.scan_iter(match=f"*{stage.settings.store.project}"):
            fields = client.hgetall(key)
            if text.encode() in key or any(text.encode() in value for value in fields.values()):
                found[key] = fields
    return found


def fold(stage: Stage) -> None:
    with running(stage, "behavior"):
        wait_until(lambda: folded(stage, "behavior"))


def test_the_rows_of_a_user_are_exported_and_erased(stage: Stage, run: Run) -> None:
    """Published, folded, exported; erased, folded: Valkey then holds only the mark and the fences."""
    stage.send([item_update(1, attributes={}), item_update(2, attributes={})])
    with running(stage, "item"):
        wait_until(lambda: folded(stage, "item"))
    clicks = [behavior_event(n, user_id=USER, scenario_id=f"s{n % 2}", item_id=f"i{n % 3}") for n in range(4)]
    query = behavior_event(9, user_id=USER, type="EVENT_TYPE_QUERY", item_id="", text="green tea")
    stage.send([*clicks, query, behavior_event(10, user_id="bob")])
    fold(stage)

    found = json.loads(run("user", "export", USER))
    assert (True, None) == (found["found"], found["erased"])
    (user,) = found["views"]["user"]
    assert {"i1", "i2"} == {entry["item_id"] for entry in user["item"] if "item_id" in entry}
    assert 3 == len(user["item"])
    assert ["s0", "s1"] == [row["scenario_id"] for row in found["views"]["user_scenario"]]
    assert 3 == len(stored(stage, USER))

    assert "Stored in Kafka" in run("user", "erase", USER)
    fold(stage)
    gone = json.loads(run("user", "export", USER))
    assert gone["erased"] is not None
    assert (False, {"user": [], "user_scenario": []}) == (gone["found"], gone["views"])
    assert json.loads(run("user", "export", "bob"))["found"]
    fences = {b"_position:user", b"_position:user_scenario"}
    mark = {b"_position:erased_user", b"_ts:erased_user"}
    mark |= set(RedisLayout(SCHEMA["erased_user"], "any").fields.values())
    left = [set(fields) for fields in stored(stage, USER).values()]
    assert 4 == len(left)
    assert mark in left
    assert {fence for fields in left if fields != mark for fence in fields} == fences


def test_features_that_left_the_schema_are_erased_too(stage: Stage, run: Run) -> None:
    """Their fields stay in rows that were rewritten under a newer schema, until the user is erased."""
    once = Feature("once", "string", SCALAR, "a feature of an older schema", "")
    views = (replace(v, features=(*v.features, once)) if v.name == "user" else v for v in SCHEMA.views)
    join_lineage(stage.store, replace(SCHEMA, views=tuple(views)))
    stage.send([behavior_event(1, user_id=USER)])
    fold(stage)
    (key,) = (key for key, fields in stored(stage, USER).items() if b"_ts:user" in fields)
    host, port = stage.settings.store.url.split(":")
    with redis.Redis(host=host, port=int(port)) as client:
        client.hset(key, RedisLayout(SCHEMA["user"], "any").fields_of(["once"])[0], "secret tea")
    assert stored(stage, "secret tea")
    run("user", "erase", USER)
    fold(stage)
    assert not stored(stage, "secret tea")


def test_an_erasure_reaches_a_data_set(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With `--data`; a missing data set is an error before anything is published."""
    click = {"user_id": USER, "scenario_id": "tv", "item_id": "i", "type": "click", "time": "2026-01-01T10:00:00Z"}
    (tmp_path / "events.jsonl").write_text(json.dumps(click))
    import_dataset("jsonl", tmp_path / "data" / "own", source=tmp_path)
    monkeypatch.setenv("CROSSREC_DATA_DIR", str(tmp_path / "data"))
    assert "crossrec replay" in run("user", "erase", USER, "--data", "own")
    assert 0 == DatasetReader(tmp_path / "data" / "own").table("events").num_rows
    result = CliRunner().invoke(app, ["user", "erase", USER, "--data", "other"])
    assert "holds no imported data set" in str(result.exception)
