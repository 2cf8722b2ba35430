"""Skew between serving and training, on real data through the real chain: none, until a consumer has a mistake."""

import json
import time
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from rich.console import Console
from typer.testing import CliRunner

from crossrec.ranking.v1 import ranking_pb2, ranking_pb2_grpc
from export.datasets.completejourney_source import week_start_ms
from export.datasets.storage import DatasetReader
from export.demo.compare import compare, impressions_at
from export.demo.environment import Environment
from export.demo.main import DATASET, RANKED_WEEK, Demo
from export.demo.stream import Lag, entries_between, publish
from export.replay.history import load_history
from export.served.reading import read_answers
from export.training.source import read_info
from services.main import app
from services.runtime.settings import load_settings

pytestmark = [pytest.mark.parity, pytest.mark.timeout(900)]

HOUSEHOLDS = 12
WEEK_S = 7 * 86_400.0
COUNTS = ("scenario_", "all_")
"""Beginnings of the names of users' counts."""


class PatientEnvironment(Environment):
    """Whose servers may take long to start beside other work."""

    def wait_healthy(self, address: str, timeout_s: float = 240.0) -> None:
        super().wait_healthy(address, timeout_s)


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Environment]:
    monkeypatch.setenv("CROSSREC_SERVED_LOG__SHARE", "1")
    monkeypatch.setenv("CROSSREC_SERVED_LOG__WAITING", "10000")
    # What is not told of is read at once, so that nothing is older than the last event.
    monkeypatch.setenv("CROSSREC_RANKING__SCENARIO_CACHE_AGE_S", "0")
    # How well the model ranks is no matter here.
    monkeypatch.setattr("export.demo.main.EPOCHS", 1)
    with PatientEnvironment(tmp_path / "demo", DATASET) as environment:
        yield environment


def skew(out: Path, *arguments: str) -> tuple[int, dict[str, object]]:
    """Exit code and figures of the command; everything is known to be folded, so nothing needs time to settle."""
    result = CliRunner().invoke(
        app, ["skew", "--data", DATASET, "--settle", "0", "--json", str(out), *arguments], env={"COLUMNS": "200"}
    )
    assert out.exists(), result.output
    return result.exit_code, json.loads(out.read_text())


def stream_week(environment: Environment, begin_s: float) -> None:
    """Publish a week and wait until it is folded."""
    settings = load_settings()
    history = load_history(DatasetReader(environment.data / DATASET), settings.features)
    publish(environment.gateway_address, entries_between(history, settings.features, begin_s, begin_s + WEEK_S))
    lag = Lag(settings)
    lag.wait(environment.processes.check, lambda _: None)
    lag.close()


def rank_again(environment: Environment, before_s: float, at_s: float) -> int:
    """Put the logged requests again, at another time; how many there were."""
    answers = read_answers(load_settings(), 0.0, before_s, {}).records
    with grpc.insecure_channel(environment.ranking_address) as channel:
        stub = ranking_pb2_grpc.RankingServiceStub(channel)
        for answer in answers:
            request = ranking_pb2.RankRequest(user_id=answer.user_id, scenario_id=answer.answer.scenario_id)
            request.item_ids.extend(item.item_id for item in answer.answer.items)
            request.request_time.FromMilliseconds(round(at_s * 1000))
            stub.Rank(request, timeout=30)
    return len(answers)


def wait_for_records(count: int) -> None:
    deadline = time.monotonic() + 60
    while len(read_answers(load_settings(), 0.0, float("inf"), {}).records) < count:
        assert time.monotonic() < deadline, "waited in vain"


def test_the_demo_has_no_skew_and_a_wrong_half_life_is_named(environment: Environment, tmp_path: Path) -> None:
    """The live week agrees in every value; after a consumer with another half-life, its counts do not, and no others.

    The mistake shows where counts fade from one event to the next: in what the user's rows hold.
    """
    demo = Demo(Console(), environment, load_settings())
    demo.prepare(HOUSEHOLDS)
    demo.stream(kill_consumer=False)
    rows_dir = environment.data / DATASET / "rows"
    end_s = float(week_start_ms([RANKED_WEEK])[0]) / 1000
    rows, sources = impressions_at(rows_dir, end_s), read_info(rows_dir)["sources"]
    models = next((environment.data / "registry" / "neural").glob("*/model.onnx"))
    assert len(rows.label)
    comparison = compare(environment.ranking_address, models, rows, sources, lambda *_: None)
    requests = len({(user, target) for user, target in zip(rows.user, rows.target.tolist(), strict=True)})
    wait_for_records(requests)
    status, found = skew(tmp_path / "clean.json")
    assert comparison.difference_max <= 1e-5
    assert (0, []) == (status, found["skew"]), found["skew"]
    assert requests == found["requests"]["compared"] == found["requests"]["read"]
    assert found["values"] > 10_000
    assert 0 == found["explained_values"] == sum(found["reasons"].values())

    environment.processes.stop_one("consumer-behavior")
    environment.processes.start_python("consumer-behavior", "-m", "tests.parity.skewed_consumer")
    stream_week(environment, end_s)
    before_s = time.time()
    again = rank_again(environment, before_s, end_s + WEEK_S)
    wait_for_records(requests + again)
    since = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(before_s))
    status, found = skew(tmp_path / "skewed.json", "--from", since)
    features = {(line["tensor"], line["feature"]) for line in found["skew"]}
    assert 1 == status
    assert again == found["requests"]["compared"]
    half_lives = [f"purchase_{half_life:g}s" for half_life in load_settings().features.half_lives_s]
    assert {("behavior", f"{whose}{name}") for whose in COUNTS for name in half_lives} <= features
    assert {"behavior", "language"} >= {tensor for tensor, _ in features} - {"item", "cross"}
    assert {name for tensor, name in features if tensor in {"item", "cross"}} <= {
        "user_text_similarity",
        "user_scenario_text_similarity",
    }
