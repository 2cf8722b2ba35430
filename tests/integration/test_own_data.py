"""A user's own JSON lines through import, replay, training and backfill to a ranked answer, without code."""

import json
import random
from pathlib import Path

import pytest
from typer.testing import CliRunner

from crossrec.ranking.v1 import ranking_pb2
from export.datasets.storage import DatasetReader
from export.replay.history import load_history
from export.replay.replay import Replay
from services.features.schema import build_schema
from services.infra.commands import Endpoints
from services.main import app
from services.ranking.pipeline import Ranker, rank
from services.ranking.wiring import build_models, build_ranker
from services.settings.load import load_settings
from services.store.connect import open_rows
from services.store.memory import MemoryRowStore
from services.text.encoder import open_encoder
from tests.unit.consumers.streams import assert_rows

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

DAY_MS = 86_400_000
START_MS = 1_700_000_000_000


SETTINGS = """
[features]
attributes = [
  { name = "banner", entity = "item_scenario" },
  { name = "likes", entity = "user", kind = "categories", values = ["drama", "comedy"] },
  { name = "genre", entity = "item", kind = "category", values = ["drama", "comedy"] },
]
"""


def write_source(directory: Path) -> None:
    """Forty users of two scenarios, each with clicks on one category."""
    choice = random.Random(0)
    directory.mkdir()
    scenarios = [
        {"scenario_id": "tv", "time": START_MS - DAY_MS, "name": "TV", "description": "Evenings on the sofa."},
        {"scenario_id": "phone", "time": START_MS - DAY_MS, "name": "Phone", "description": "On the way."},
    ]
    items = [
        {
            "item_id": f"film{n}",
            "time": START_MS - DAY_MS,
            "title": f"Film {n}",
            "categories": [["drama", "comedy"][n % 2]],
            "attributes": {"genre": ["drama", "comedy"][n % 2]},
        }
        for n in range(20)
    ]
    items.append({"item_id": "film1", "scenario_id": "tv", "time": START_MS, "attributes": {"banner": 1.0}})
    events = []
    for day in range(20):
        for user in range(40):
            shown = choice.sample(range(20), 4)
            scenario = choice.choice(["tv", "phone"])
            for n in shown:
                clicked = int(n % 2 == user % 2 and choice.random() < 0.8)
                time = START_MS + day * DAY_MS + user * 1000
                row = {"user_id": f"u{user}", "scenario_id": scenario, "item_id": f"film{n}"}
                events.append(
                    {**row, "type": "impression", "time": time, "label": clicked, "request_id": f"{day}-{user}"}
                )
                if clicked:
                    events.append({**row, "type": "click", "time": time + 60_000})
    # A user likes items of one kind, and says so; two users have no events.
    users = [{"user_id": f"u{n}", "attributes": {"likes": [["drama", "comedy"][n % 2]]}} for n in range(40)]
    users += [{"user_id": f"new-{kind}", "attributes": {"likes": [kind]}} for kind in ("drama", "comedy")]
    for name, rows in (("scenarios", scenarios), ("items", items), ("events", events), ("users", users)):
        (directory / f"{name}.jsonl").write_text("\n".join(json.dumps(row) for row in rows) + "\n")


def run(*arguments: str) -> str:
    result = CliRunner().invoke(app, list(arguments), env={"COLUMNS": "160"})
    assert 0 == result.exit_code, result.output
    return result.output


def answer_to(user: str, ranker: Ranker) -> ranking_pb2.RankResponse:
    """The ten best of all films on TV."""
    films = [f"film{n}" for n in range(20)]
    request = ranking_pb2.RankRequest(user_id=user, scenario_id="tv", item_ids=films, top_k=10)
    request.request_time.FromMilliseconds(START_MS + 20 * DAY_MS)
    return ranking_pb2.RankResponse.FromString(rank(ranker, request, lambda: 10.0))


def assert_backfilled(reader: DatasetReader) -> None:
    """The store holds the rows of a replay in one process."""
    settings = load_settings()
    schema, encoder, expected = build_schema(settings.features), open_encoder(settings.encoder_dir, 2), MemoryRowStore()
    Replay(load_history(reader, settings.features), schema, encoder, expected).run(2e9, lambda *_: None)
    assert_rows(expected, open_rows(settings), schema=schema)


def test_own_data_to_a_ranked_answer(tmp_path: Path, infra: Endpoints, monkeypatch: pytest.MonkeyPatch) -> None:
    """Five commands; a user with clicks on comedies gets comedies first, and declared attributes are features."""
    config = tmp_path / "crossrec.toml"
    config.write_text(SETTINGS)
    for name, value in {
        "CONFIG": config,
        "DATA_DIR": tmp_path / "data",
        "STORE__URL": infra.valkey_address,
        "STORE__PROJECT": "own_data",
        "KAFKA__BOOTSTRAP_SERVERS": infra.kafka_bootstrap,
        "KAFKA__TOPIC_PREFIX": "owndata",
    }.items():
        monkeypatch.setenv(f"CROSSREC_{name}", str(value))
    write_source(tmp_path / "source")
    assert "impression" in run(
        "import", "jsonl", "--source", str(tmp_path / "source"), "--out", str(tmp_path / "data" / "mine")
    )
    run("replay", "--data", "mine")
    assert "neural" in run("train", "--data", "mine", "--model", "neural", "--epochs", "8")
    assert "owndata.behavior" in run("setup")
    answer = run("backfill", "--data", "mine", "--workers", "2")
    assert "user_scenario:" in answer
    assert "streaming of owndata.behavior continues at offsets 0, 0, 0, 0" in answer
    assert_backfilled(DatasetReader(tmp_path / "data" / "mine"))
    ranker, _ = build_ranker(load_settings(), build_models(load_settings()))
    reply = answer_to("u1", ranker)
    comedies = {f"film{n}" for n in range(1, 20, 2)}
    assert not reply.degraded
    assert len(comedies & {item.item_id for item in reply.items}) >= 8
    assert {"phone", "tv"} == {weight.scenario_id for weight in reply.transfer_weights}
    # Users without events are ranked for by what they like, and nothing is said to be missing.
    new = {kind: answer_to(f"new-{kind}", ranker) for kind in ("drama", "comedy")}
    assert not any(each.degraded for each in new.values())
    scores = [{item.item_id: item.score for item in each.items} for each in new.values()]
    assert scores[0] != scores[1]
