"""The Python client as a distribution of its own, in an environment with nothing but its dependencies."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.contract import live_chain

ROOT = Path(__file__).resolve().parents[2]
UV = Path(sys.executable).parent / "uv"
PROGRAM = """
import importlib.metadata, json, sys
from crossrec.events.v1.events_pb2 import Entry, ScenarioUpdate
from crossrec_client import CallFailed, EventClient, RankingClient
gateway, ranking = sys.argv[1:]
with EventClient(gateway) as events, events.stream() as stream:
    batch = events.publish([Entry(scenario_update=ScenarioUpdate(scenario_id="tv"))])
    streamed = stream.publish(Entry(scenario_update=ScenarioUpdate(scenario_id="shelf"))).result()
with RankingClient(ranking) as client:
    answer = client.rank("ann", ["milk", "tea"], scenario_id="tv", explain=True)
    try:
        client.rank("", [])
    except CallFailed as error:
        failed = error
print(json.dumps({
    "results": [result.WhichOneof("result") for result in [*batch, *streamed]],
    "items": {item.item_id: item.score for item in answer.items},
    "failed": [failed.code.name, failed.reason],
    "installed": sorted(package.name for package in importlib.metadata.distributions()),
}))
"""


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The interpreter of an environment with the wheel and its dependencies."""
    folder = tmp_path_factory.mktemp("client")
    uv("build", "--wheel", "--out-dir", str(folder), str(ROOT / "services" / "client"))
    [wheel] = folder.glob("crossrec_client-*.whl")
    uv("venv", "--python", sys.executable, str(folder / "venv"))
    python = str(folder / "venv" / "bin" / "python")
    uv("pip", "install", "--python", python, str(wheel))
    return python


def uv(*arguments: str) -> None:
    run = subprocess.run([UV, *arguments], capture_output=True, text=True, check=False)
    assert 0 == run.returncode, run.stderr


def test_the_wheel_needs_only_grpcio_and_protobuf(python: str, tmp_path: Path) -> None:
    """It publishes and ranks. Without googleapis' messages the reason of an error is not known, the code is."""
    with live_chain.running() as chain:
        chain.publish(live_chain.scenario("tv", "evenings"))
        addresses = [chain.gateway.built.address, chain.server.built.address]
        command = [python, "-I", "-c", PROGRAM, *addresses]
        run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        expected = {item.item_id: item.score for item in chain.rank("tv", ["milk", "tea"]).items}
    assert 0 == run.returncode, run.stderr
    assert {
        "results": ["accepted", "accepted"],
        "items": expected,
        "failed": ["INVALID_ARGUMENT", ""],
        "installed": ["crossrec-client", "grpcio", "protobuf", "typing_extensions"],
    } == json.loads(run.stdout)
